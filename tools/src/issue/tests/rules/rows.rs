//! The rows.

use super::Row;

const FIVE: &str = "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\n";

/// Two features, for changes on the way.
const TWO: &str = "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\n\n[[feature]]\nname = \"B\"\nversion = \"2.0\"\ncount = 3\n";

macro_rules! upgrade {
    ($count:literal $($more:literal)*) => {
        concat!("[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = ", $count, "\ntype = \"upgrade\"\n", $($more, "\n"),*)
    };
}

/// An upgrade in the XML of LM-X, with a setting.
macro_rules! xml_upgrade {
    ($setting:literal) => {
        concat!(
            "<LICENSEFILE>\n  <FEATURE NAME=\"A\">\n    <SETTING KEYTYPE=\"UPGRADE\" COUNT=\"1\"/>\n    <SETTING ",
            $setting,
            "/>\n  </FEATURE>\n</LICENSEFILE>"
        )
    };
}

pub(super) fn all() -> Vec<Row> {
    [files(), pools(), upgrades(), lives(), kinds()].into_iter().flatten().collect()
}

fn files() -> Vec<Row> {
    let rewrapped = |text: String| text.replace('\n', "\r\n      ").replace(" = ", "  =  ");
    let changed = |text: String| text.replacen("count = 5", "count = 50", 1);
    vec![
        Row {
            on_the_way: rewrapped,
            ..Row::new("L-1", "indented, with other spaces and line ends: the same certificates", &[TWO])
        },
        Row { on_the_way: changed, ..Row::new("L-1", "a changed value invalidates that certificate alone", &[TWO]) },
        Row::new(
            "L-2",
            "a certificate says what it grants",
            &[
                "[[feature]]\nname = \"A\"\nversion = \"2026.1\"\ncount = 2147483647\nlease-ttl = \"10m\"\ngrace = \"1h\"\nvendor-string = \"pro\"\n",
            ],
        ),
        Row::new(
            "L-2",
            "and nothing beyond its range",
            &["[[feature]]\nname = \"A b\"\nversion = \"2.x\"\ncount = 0\n"],
        ),
        Row::new(
            "L-3",
            "an unknown setting is a mistake with its place and the nearest word",
            &["[[feature]]\nname = \"A\"\nversoin = \"2.0\"\ncount = 5\n"],
        ),
        Row::new(
            "L-3",
            "the XML of LM-X is read as it is",
            &[
                "<LICENSEFILE>\n  <FEATURE NAME=\"A\">\n    <SETTING MAJOR_VERSION=\"2\" MINOR_VERSION=\"0\" COUNT=\"5\" END=\"2027-01-31\"/>\n  </FEATURE>\n</LICENSEFILE>",
            ],
        ),
        Row::new(
            "L-3",
            "and so are the lines of FlexNet",
            &["FEATURE A acme 2.0 31-jan-2027 5 \\\n    NOTICE=\"to be renewed\" SIGN=0\n"],
        ),
        Row::new("L-4", "no licence file is no failure", &[]),
        Row::new(
            "L-4",
            "certificates are applied from first to last",
            &[
                "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\n\n[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 7\n",
            ],
        ),
        Row::new("L-5", "what is added later counts exactly as if it had just been read", &[FIVE, upgrade!("2")]),
    ]
}

fn pools() -> Vec<Row> {
    const ADD: &str = "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 2\ntype = \"additive\"\n";
    vec![
        Row::new(
            "L-6",
            "replace: a later exclusive one overrides",
            &[FIVE, "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 3\n", ADD],
        ),
        Row::new(
            "L-6",
            "first: the first one stays",
            &[
                "dialect = \"first\"\n[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\n\n[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 3\n",
            ],
        ),
        Row::new(
            "L-7",
            "additive ones of one feature are one pool",
            &[ADD, "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 4\ntype = \"additive\"\n"],
        ),
        Row::new(
            "L-7",
            "or each one of its own",
            &[
                "pools = \"separate\"\n[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 1\ntype = \"additive\"\n\n[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 2\ntype = \"additive\"\n\n[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 3\ntype = \"additive\"\n",
            ],
        ),
    ]
}

fn upgrades() -> Vec<Row> {
    const DATED: &str =
        "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\nstart = \"2026-03-01\"\nend = \"2027-12-31\"\n";
    const LOCKED: &str =
        "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = \"uncounted\"\nserver-hostids = [\"machine:m1\"]\n";
    vec![
        Row::new(
            "L-8 raises",
            "exclusive 5 + upgrade 1 is one pool of 6, and it is no pool of its own",
            &[FIVE, upgrade!("1")],
        ),
        Row::new(
            "L-8 stacks",
            "any number, each with its own start and end",
            &[DATED, upgrade!("1"), upgrade!("2" "start = \"2026-09-01\"" "end = \"2027-03-31\"")],
        ),
        Row::new(
            "L-8 same feature",
            "an upgrade of a feature without an exclusive right raises nothing",
            &[upgrade!("1")],
        ),
        Row::new(
            "L-8 version",
            "not above the exclusive one's",
            &[FIVE, "[[feature]]\nname = \"A\"\nversion = \"2.1\"\ncount = 1\ntype = \"upgrade\"\n"],
        ),
        Row::new(
            "L-8 range",
            "while the total stays in the range of a count",
            &[FIVE, upgrade!("2147483643"), upgrade!("7")],
        ),
        Row::new("L-8 no dates", "it lasts as long as what it raises", &[DATED, upgrade!("1")]),
        Row::new("L-8 once", "the same upgrade twice counts once", &[FIVE, upgrade!("1"), upgrade!("1")]),
        Row::new(
            "L-8 lifetime",
            "it must not end after what it raises",
            &[DATED, upgrade!("1" "end = \"2028-06-30\"")],
        ),
        Row::new("L-8 lifetime", "nor begin before it", &[DATED, upgrade!("1" "start = \"2026-01-01\"")]),
        Row::new(
            "L-8 no exclusive",
            "the report says from when it could apply",
            &["[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\nstart = \"2026-09-01\"\n", upgrade!("1")],
        ),
        Row::new("L-8 counted", "the exclusive one must not be uncounted", &[LOCKED, upgrade!("1")]),
        Row::new(
            "L-8 counted",
            "nor the upgrade",
            &[FIVE, upgrade!("\"uncounted\"" "server-hostids = [\"machine:m1\"]")],
        ),
        Row::new("L-8 client hostids", "are refused", &[upgrade!("1" "client-hostids = [\"disk:d1\"]")]),
        Row::new("L-8 client hostids", "in every language", &[xml_upgrade!("CLIENT_HOSTID=\"DISK:d1\"")]),
        Row::new(
            "L-8 server hostids",
            "and a match rate are allowed: here one of two is enough",
            &[FIVE, upgrade!("1" "server-hostids = [\"disk:d1\", \"disk:other\"]" "match-rate = 50")],
        ),
        Row::new(
            "L-8 server hostids",
            "and keep it from another server",
            &[FIVE, upgrade!("1" "server-hostids = [\"disk:other\"]")],
        ),
        Row::new(
            "L-8 SHARE",
            "may be VIRTUAL",
            &[
                "<LICENSEFILE>\n  <FEATURE NAME=\"A\">\n    <SETTING MAJOR_VERSION=\"2\" COUNT=\"5\"/>\n  </FEATURE>\n</LICENSEFILE>",
                xml_upgrade!("SHARE=\"VIRTUAL\""),
            ],
        ),
        Row::new("L-8 SHARE", "and nothing else", &[xml_upgrade!("SHARE=\"USER\"")]),
        Row::new("L-8 other settings", "are refused at issue", &[upgrade!("1" "lease-ttl = \"10m\"")]),
    ]
}

fn lives() -> Vec<Row> {
    vec![
        Row::new(
            "L-9",
            "whole days in the certificate's zone, over both changes of its clocks",
            &[
                "zone = \"Europe/Berlin\"\n[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\nstart = \"2026-10-25\"\nend = \"2027-03-28\"\n",
            ],
        ),
        Row::new(
            "L-10",
            "seats that a right's end takes away while they are out are overage: nothing here says so before they are out",
            &["[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\nend = \"2026-08-31\"\n"],
        ),
        Row::new(
            "L-11",
            "two versions, two lots: a request for 2.0 takes from the exact one first",
            &[
                "[[feature]]\nname = \"A\"\nversion = \"3.0\"\ncount = 4\ntype = \"additive\"\n\n[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 2\ntype = \"additive\"\n",
            ],
        ),
        Row::new(
            "L-12",
            "uncounted, and locked to a machine",
            &[
                "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = \"uncounted\"\nserver-hostids = [\"machine:m1\"]\n",
            ],
        ),
        Row::new("L-12", "never to none", &["[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = \"uncounted\"\n"]),
        Row::new(
            "L-13",
            "a soft limit and seats above the count",
            &["[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\nsoft-limit = 3\noverdraft = 2\n"],
        ),
    ]
}

fn kinds() -> Vec<Row> {
    let local = |says, template| Row { local: true, ..Row::new("L-18", says, &[template]) };
    vec![
        Row::new(
            "L-14 package",
            "components hold its seats, one for each holder",
            &["[[feature]]\nname = \"T\"\nversion = \"2.0\"\ncount = 5\npackage = [\"A\", \"B\"]\n"],
        ),
        Row::new(
            "L-14 suite",
            "components draw on its seats",
            &["[[feature]]\nname = \"T\"\nversion = \"2.0\"\ncount = 5\nsuite = [\"A\", \"B\"]\n"],
        ),
        Row::new(
            "L-14 token",
            "chains of any depth",
            &[
                "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = \"uncounted\"\ncost = \"3 of B\"\n\n[[feature]]\nname = \"B\"\nversion = \"2.0\"\ncount = \"uncounted\"\ncost = \"2 of T\"\n\n[[feature]]\nname = \"T\"\nversion = \"1.0\"\ncount = 20\n",
            ],
        ),
        Row::new(
            "L-14 token",
            "but no circle",
            &[
                "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = \"uncounted\"\ncost = \"3 of B\"\n\n[[feature]]\nname = \"B\"\nversion = \"2.0\"\ncount = \"uncounted\"\ncost = \"2 of A\"\n",
            ],
        ),
        Row::new(
            "L-15",
            "supersedes: those of that feature that were read before it stop counting",
            &[FIVE, "[[feature]]\nname = \"B\"\nversion = \"2.0\"\ncount = 3\nsupersedes = [\"feature:A\"]\n"],
        ),
        Row::new(
            "L-16",
            "a trial begins with its first use",
            &["[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\ntrial = \"30d\"\n"],
        ),
        Row::new(
            "L-17",
            "a meter has units, and an undo window",
            &["[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 500\nmetered = \"consumed\"\nundo = \"5m\"\n"],
        ),
        local(
            "uncounted and locked to this machine: granted with no server",
            "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = \"uncounted\"\nclient-hostids = [\"disk:d1\"]\n",
        ),
        local(
            "on another machine it is not",
            "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = \"uncounted\"\nclient-hostids = [\"disk:d9\"]\n",
        ),
        local("what is counted is left to a server", FIVE),
        Row::new(
            "L-19",
            "33 % of three is one",
            &[
                "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\nserver-hostids = [\"disk:d1\", \"disk:x\", \"disk:y\"]\nmatch-rate = 33\n",
            ],
        ),
        Row::new(
            "L-19",
            "34 % is not",
            &[
                "[[feature]]\nname = \"A\"\nversion = \"2.0\"\ncount = 5\nserver-hostids = [\"disk:d1\", \"disk:x\", \"disk:y\"]\nmatch-rate = 34\n",
            ],
        ),
    ]
}
