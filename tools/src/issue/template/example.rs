//! A template to begin with.

/// What `leasehold issue --example` prints: a template that can be signed as it is, with everything explained.
pub const EXAMPLE: &str = r#"# A leasehold licence template: what to sign.
#
#   leasehold issue licence.toml --key NAME.key -o NAME.lic

# What stands here holds for every feature below that does not say otherwise.
issuer = "Example Tools Ltd"
# zone = "Europe/Paris"      # whose days the dates are; default UTC
# start = 2026-01-01         # first day; default "always"
# end = 2026-12-31           # last day; default "permanent"
# lease-ttl = "5m"           # the longest a holder may go without renewing; 2s to 24h
# grace = "10m"              # how long a program may go on while no server answers
# server-keys = ["00000000000000000000000000000000"]  # only these servers may serve it
# notice = "For Example Ltd, Lyon."

[[feature]]
name = "VR_MODE"             # as the program asks for it
version = "4.8"              # up to this version, in quotes
count = 10                   # seats, or "uncounted" (needs server-keys)

[[feature]]
name = "RENDER"
version = "2.0"
count = 4
end = 2030-12-31
# type = "additive"          # adds to the feature's seats; default "exclusive" replaces them; "upgrade" raises them
# overdraft = 2              # seats beyond the count, reported apart
# client-hostids = ["ethernet:0012ab34cd56"]   # only these machines may use it: leasehold hostid prints them
# More: tools/docs/templates.md
# serial = "2026-0042"       # your number for this grant; tells two equal ones apart
# vendor-string = "quality=high"   # for your program
"#;
