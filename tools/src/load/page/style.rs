//! How the page looks.

/// Its style sheet. Colours of lines are told apart by those who see colours differently, too (Okabe and Ito), lighter on
/// dark ground.
pub const SHEET: &str = "
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --soft: #5b6570; --rule: #d9dee3; --panel: #f6f8fa;
  --good: #0a7a3f; --bad: #b3261e; --note: #8a5a00;
  --c0: #0072b2; --c1: #d55e00; --c2: #b14a86; --c3: #00795a; --c4: #6a6f75; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --ink: #e6e9ec; --soft: #9aa4ae; --rule: #343b42;
  --panel: #1d2226; --good: #57c98a; --bad: #ff8a80; --note: #e5b567;
  --c0: #56b4e9; --c1: #ff9a4d; --c2: #e59ac6; --c3: #3fcfa5; --c4: #b4bac1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1200px; padding: 16px; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif; }
h1 { font-size: 1.5em; margin: 0; } h2 { font-size: 1.15em; margin: 1.6em 0 .5em; }
header p { color: var(--soft); margin: .2em 0; overflow-wrap: anywhere; }
header ul { list-style: none; margin: .4em 0 1em; padding: 0; }
.badge { font-size: .6em; padding: .2em .7em; border-radius: 1em; border: 1.5px solid; vertical-align: middle; }
.good { color: var(--good); } .bad { color: var(--bad); } .note { color: var(--note); }
.small { color: var(--soft); font-size: .87em; margin: .4em 0 1em; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(125px, 1fr)); gap: 8px; }
.tiles div { background: var(--panel); border: 1px solid var(--rule); border-radius: 6px; padding: 8px 12px; }
.tiles b { display: block; font-size: 1.25em; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .87em; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 16px; }
figure { margin: 0; background: var(--panel); border: 1px solid var(--rule); border-radius: 6px; padding: 10px; }
figcaption { font-weight: 600; } figcaption span { font-weight: 400; font-size: .87em; margin-right: 1em;
  display: inline-block; }
figcaption i { display: inline-block; width: 1.4em; height: 3px; vertical-align: middle; margin-right: .4em; }
.b0 { background: var(--c0); } .b1 { background: var(--c1); } .b2 { background: var(--c2); } .b3 { background: var(--c3); }
.b4 { background: var(--c4); }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 10.5px; }
svg .grid { stroke: var(--rule); fill: none; } svg .band { stroke: var(--soft); stroke-dasharray: 3 3; }
svg .hover { fill: transparent; } svg .hover:hover { fill: var(--soft); fill-opacity: .18; }
svg path.l { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.l0 { stroke: var(--c0); } .l1 { stroke: var(--c1); } .l2 { stroke: var(--c2); } .l3 { stroke: var(--c3); }
.l4 { stroke: var(--c4); }
@media (max-width: 560px) { svg text { font-size: 13px; } }
.wide { overflow-x: auto; margin-bottom: 12px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
table.figures td:first-child { white-space: normal; }
th { font-weight: 600; color: var(--soft); } .n { text-align: right; }
pre { background: var(--panel); border: 1px solid var(--rule); border-radius: 6px; padding: 10px; overflow-x: auto;
  font-size: .87em; }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
";
