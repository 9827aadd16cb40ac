//! Mistakes and doubts, each with its place.

use super::PolicyFile;
use crate::config::ConfigError;

fn parse(text: &str) -> Result<PolicyFile, ConfigError> {
    PolicyFile::parse("p.toml", text)
}

/// The one mistake of `text`: where, what, what was expected, what to do.
fn mistake(text: &str) -> String {
    let problems = parse(text).unwrap_err().problems;
    let [problem] = &problems[..] else { panic!("one mistake, not {problems:?}") };
    format!("{}: {problem} | {} | {}", problem.place, problem.label, problem.help.as_deref().unwrap_or(""))
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    let rule = |rest: &str| format!("[groups.cad]\nusers = [\"ann\"]\n[[rules]]\n{rest}");
    let limit = |rest: &str| format!("[groups.cad]\nusers = [\"ann\"]\n[[limits]]\nid = \"l\"\n{rest}");
    let kept = |rest: &str| format!("[groups.cad]\nusers = [\"ann\"]\n[[reservations]]\nid = \"r\"\n{rest}");
    let first = |rest: &str| format!("[groups.cad]\nusers = [\"ann\"]\n[[priorities]]\nid = \"p\"\n{rest}");
    let idle = |rest: &str| format!("[[reclaim]]\nid = \"i\"\n{rest}");
    let cases = [
        ("casee = \"exact\"".into(), "p.toml:1:1: there is no \"casee\" here | expected case, groups, queue, or a kind of rule | did you mean \"case\"?"),
        ("case = 3".into(), "p.toml:1:8: there is no such way to compare names | expected \"ignore\" or \"exact\" | ignore is what goes without saying: Windows tells users and hosts in either case"),
        ("groups = 1".into(), "p.toml:1:10: groups is a table | expected [groups.NAME] | "),
        ("rules = {}".into(), "p.toml:1:9: rules is a list of tables | expected [[rules]] | begin each rule with a line [[rules]]"),
        ("limits = 2".into(), "p.toml:1:10: limits is a list of tables | expected [[limits]] | begin each limit with a line [[limits]]"),
        ("reservations = [1]".into(), "p.toml:1:17: a reservation is a table | expected [[reservations]] | "),
        (limit("per = \"user\"\nfeatures = \"all\""), "p.toml:3:1: it does not say how many: max is missing | expected a number from 0 to 2147483647 | "),
        (limit("max = -1\nper = \"user\"\nfeatures = \"all\""), "p.toml:5:7: this is no max | expected a number from 0 to 2147483647 | "),
        (limit("max = 1\nfeatures = \"all\""), "p.toml:3:1: the limit does not say who counts as one | expected per = \"group\", \"user\", \"host\", \"display\", \"project\" or \"device\" | say who has so many: each user, or all of the group together"),
        (limit("max = 1\nper = \"users\"\nfeatures = \"all\""), "p.toml:6:7: nothing counts as one by that | expected per = \"group\", \"user\", \"host\", \"display\", \"project\" or \"device\" | did you mean \"user\"?"),
        (limit("max = 1\nper = \"user\"\nexempt = \"cda\"\nfeatures = \"all\""), "p.toml:7:10: there is no group \"cda\" | expected the name of a group | did you mean \"cad\"?"),
        (first("level = 101\nfor = \"cad\"\nfeatures = \"all\""), "p.toml:5:9: this is no level | expected a number from 0 to 100 | "),
        (first("level = 1\nfeatures = \"all\""), "p.toml:3:1: the priority is nobody's | expected for | say whom: for = \"GROUP\", or for = { users = [\"ann\"] }"),
        ("priorities = 1".into(), "p.toml:1:14: priorities is a list of tables | expected [[priorities]] | begin each priority with a line [[priorities]]"),
        ("reclaim = 1".into(), "p.toml:1:11: reclaim is a list of tables | expected [[reclaim]] | begin each reclaim with a line [[reclaim]]"),
        (idle("idle-s = 59\nfeatures = \"all\""), "p.toml:3:10: this is no idle-s | expected a number from 60 to 2678400 | "),
        (idle("features = \"all\""), "p.toml:1:1: it does not say how many: idle-s is missing | expected a number from 60 to 2678400 | "),
        (idle("idle-s = 60\nnotice-s = 9\nfeatures = \"all\""), "p.toml:4:12: this is no notice-s | expected a number from 10 to 2678400 | "),
        (idle("idle-s = 600\nbusy-max-s = 599\nfeatures = \"all\""), "p.toml:4:14: this is no busy-max-s | expected a number from 600 to 2678400 | "),
        (idle("idle-s = 600\nidle = 3\nfeatures = \"all\""), "p.toml:4:1: there is no \"idle\" here | expected id, idle-s, notice-s, busy-max-s, for and features | there are id, idle-s, notice-s, busy-max-s, for, features"),
        (idle("idle-s = 600"), "p.toml:1:1: the rule is for no feature | expected \"all\", or a list of features | say which: features = [\"CAD\"], or features = \"all\""),
        ("queue = 1".into(), "p.toml:1:9: queue is a table | expected [queue] | "),
        ("[queue]\npassing_max = 1".into(), "p.toml:2:1: there is no \"passing_max\" here | expected passing-max or waiters-max | did you mean \"passing-max\"?"),
        ("[queue]\nwaiters-max = 2000000".into(), "p.toml:2:15: this is no waiters-max | expected a number from 0 to 1000000 | "),
        (kept("seats = 0\nfeature = \"A\"\nfor = \"cad\""), "p.toml:5:9: this is no seats | expected a number from 1 to 2147483647 | "),
        (kept("seats = 1\nfor = \"cad\""), "p.toml:3:1: the reservation is of no feature | expected feature | one feature each: feature = \"CAD\""),
        (kept("seats = 1\nfeature = \"a b\"\nfor = \"cad\""), "p.toml:6:11: this is no feature | expected 1 to 64 of letters, digits, _ - . + | "),
        (kept("seats = 1\nfeature = \"A\""), "p.toml:3:1: the seats are kept for nobody | expected for | say whom: for = \"GROUP\", or for = { users = [\"ann\"] }"),
        (kept("seats = 1\nfeature = \"A\"\nversion = 4.2\nfor = \"cad\""), "p.toml:7:11: this is no version | expected two numbers with a dot | as a text in quotes: version = \"4.2\""),
        (kept("seats = 1\nfeature = \"A\"\nfor = \"cad\"\n[[limits]]\nid = \"r\"\nmax = 1\nper = \"user\"\nfeatures = \"all\""), "p.toml:4:6: two rules are called r | the other one is in line 9 | "),
        ("[groups.a]\nuser = []".into(), "p.toml:2:1: there is no \"user\" here | expected who is in the group | did you mean \"users\"?"),
        ("[groups.a]\nusers = \"ann\"".into(), "p.toml:2:9: users is a list | expected [\"...\"] | "),
        ("[groups.a]\neveryone = 1".into(), "p.toml:2:12: everyone is true or false | expected true or false | "),
        ("[groups.a]\naddresses = [\"10.1.2.3/8\"]".into(), "p.toml:2:14: this is none of addresses | this is one address and the length of a prefix | the network is 10.0.0.0/8"),
        ("[groups.a]\ndevices = [\"zz\"]".into(), "p.toml:2:12: this is none of devices | expected 32 hexadecimal digits | GET /api/v1/leases shows the device of each holder"),
        ("[groups.a]\ngroups = [\"b\"]".into(), "p.toml:2:11: there is no group \"b\" | expected the name of a group | did you mean \"a\"?"),
        ("[groups.a]\ngroups = [\"b\"]\n[groups.b]\ngroups = [\"a\"]".into(), "p.toml:1:9: the group a is in itself: a has b has a | its members are never all found | take one of them out of the groups of another"),
        (rule("include = \"cad\"\nfeatures = \"all\""), "p.toml:3:1: the rule has no id | expected id = \"...\" | give it a name that a denial can tell: id = \"no-contractors\""),
        (rule("id = \"a b\"\ninclude = \"cad\"\nfeatures = \"all\""), "p.toml:4:6: this is no id | expected a word of 1 to 64 bytes, without spaces | "),
        (rule("id = \"a\"\nfeatures = \"all\""), "p.toml:3:1: the rule is for nobody | expected include or exclude | say who: include = \"GROUP\", or exclude = { users = [\"ann\"] }"),
        (rule("id = \"a\"\ninclude = \"cad\"\nexclude = \"cad\"\nfeatures = \"all\""), "p.toml:6:11: a rule includes or excludes, not both | there is an include, too | make two rules of it"),
        (rule("id = \"a\"\ninclude = \"cda\"\nfeatures = \"all\""), "p.toml:5:11: there is no group \"cda\" | expected the name of a group | did you mean \"cad\"?"),
        (rule("id = \"a\"\ninclude = \"cad\""), "p.toml:3:1: the rule is for no feature | expected \"all\", or a list of features | say which: features = [\"CAD\"], or features = \"all\""),
        (rule("id = \"a\"\ninclude = \"cad\"\nfeatures = [\"a b\"]"), "p.toml:6:13: this is none of features | expected 1 to 64 of letters, digits, _ - . + | "),
        ("[[rules]]\nid = \"a\"\ninclude = {}\nfeatures = \"all\"\n[[rules]]\nid = \"a\"\ninclude = {}\nfeatures = \"all\"".into(), "p.toml:6:6: two rules are called a | the other one is in line 2 | "),
    ];
    for (text, expected) in cases {
        assert_eq!(mistake(&text), expected, "{text}");
    }
    assert!(mistake("x = [").starts_with("p.toml:1:6: not TOML: "));
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = "case = 1\n[groups.a]\nuser = []\n[[rules]]\nid = \"x\"\ninclude = \"b\"\nfeatures = []";
    assert_eq!(parse(text).unwrap_err().problems.len(), 4);
}

#[test]
fn what_may_not_be_meant_is_told_and_refused_by_nobody() {
    let text = "[groups.a]\nusers = [\"ann\"]\n[groups.idle]\nusers = [\"bob\"]\n\
        [[rules]]\nid = \"one\"\ninclude = \"a\"\nfeatures = [\"X\"]\n\
        [[rules]]\nid = \"two\"\ninclude = \"a\"\nfeatures = [\"X\"]\n\
        [[rules]]\nid = \"three\"\ninclude = \"a\"\nfeatures = \"all\"\n\
        [[rules]]\nid = \"four\"\nexclude = {}\nfeatures = \"all\"\n\
        [[rules]]\nid = \"five\"\nexclude = { users = [\"eve\"] }\nfeatures = \"all\"\n\
        [[rules]]\nid = \"six\"\nexclude = { users = [\"eve\"] }\nfeatures = [\"X\"]\n\
        [[rules]]\nid = \"seven\"\ninclude = { users = [\"eve\"] }\nfeatures = [\"Y\"]\n\
        [[limits]]\nid = \"eight\"\nmax = 1\nper = \"user\"\nfor = {}\nexempt = \"a\"\nfeatures = \"all\"\n\
        [[reservations]]\nid = \"nine\"\nseats = 2\nfeature = \"X\"\nfor = {}\n\
        [[reclaim]]\nid = \"ten\"\nidle-s = 600\nfor = {}\nfeatures = \"all\"\n";
    let told: Vec<String> =
        parse(text).unwrap().doubts.iter().map(|doubt| format!("{}: {doubt}", doubt.place)).collect();
    let expected = [
        "p.toml:3:9: the group idle is used by no rule and no other group",
        "p.toml:18:6: rule four excludes nobody",
        "p.toml:34:6: limit eight is for nobody",
        "p.toml:41:6: reservation nine keeps 2 of X for nobody",
        "p.toml:46:6: reclaim ten takes nobody's seats",
        "p.toml:10:6: rule two changes nothing: rule one says the same",
        "p.toml:26:6: rule six changes nothing: rule five says the same",
        "p.toml:30:6: rule seven lets nobody in: rule five excludes the same, and exclude wins",
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_said_of_idle_seats_is_read_with_what_goes_without_saying() {
    let text = "[[reclaim]]\nid = \"a\"\nidle-s = 900\nfeatures = [\"X\"]\n\
        [[reclaim]]\nid = \"b\"\nidle-s = 60\nnotice-s = 10\nbusy-max-s = 3600\nfor = { users = [\"ann\"] }\nfeatures = \"all\"\n";
    let policy = parse(text).unwrap().policy;
    let told = |r: &leasehold_core::policy::Reclaim| (r.id.clone(), r.idle_s, r.notice_s, r.busy_max_s);
    let all: Vec<_> = policy.reclaims().iter().map(told).collect();
    assert_eq!(all, [("a".to_owned(), 900, 60, None), ("b".to_owned(), 60, 10, Some(3_600))]);
    assert!(policy.groups().all()[policy.reclaims()[0].group as usize].everyone, "for everybody, if it is not said");
    assert_eq!(policy.len(), 2);
}
