//! Templates in the style of LM-X: `LICENSEFILE > FEATURE NAME > SETTING key="value"` (L-3). `tools/docs/templates.md` says what
//! each setting becomes.

mod settings;

use std::ops::Range;

use leasehold_protocol::{
    licence::{Certificate, nearest::nearest},
    vocab::Label,
};
use roxmltree::{Attribute, Document, Node, ParsingOptions};

use super::draft::Draft;
use crate::issue::problem::{Problem, Text};
use settings::{HOSTID_KINDS, Meaning, OF_AN_UPGRADE, SETTINGS};

/// Elements a template may have: with more it is no template but an attack.
const NODES_MAX: u32 = 1_000_000;

/// What a template says, what is wrong with it, and what is remarkable about it.
#[derive(Default)]
pub(super) struct Read {
    pub(super) certificates: Vec<(Certificate, Range<usize>)>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// Reads `source` for `publisher`.
pub(super) fn read(source: &Text, publisher: &Label) -> Read {
    let mut out = Read::default();
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    match Document::parse_with_options(source.as_str(), options) {
        Ok(document) => file(source, &document, publisher, &mut out),
        Err(e) => out.problems.push(syntax(source, &e)),
    }
    out
}

fn syntax(source: &Text, error: &roxmltree::Error) -> Problem {
    let at = offset(source.as_str(), error.pos());
    let text = source.as_str();
    let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    let problem = source.problem(at..end, format!("not XML: {error}"));
    match error {
        roxmltree::Error::DtdDetected => {
            problem.expected("no DTD").help(Some("a template needs none; entities of its own are refused with it"))
        }
        _ => problem.expected("here"),
    }
}

/// The byte that stands at `at`.
fn offset(text: &str, at: roxmltree::TextPos) -> usize {
    let line_start = text.split_inclusive('\n').take(at.row.saturating_sub(1) as usize).map(str::len).sum::<usize>();
    let column = at.col.saturating_sub(1) as usize;
    let within = text[line_start..].char_indices().nth(column).map_or(text.len() - line_start, |(at, _)| at);
    line_start + within
}

fn file(source: &Text, document: &Document<'_>, publisher: &Label, out: &mut Read) {
    let root = document.root_element();
    if root.tag_name().name() != "LICENSEFILE" {
        out.problems.push(unknown_element(source, root, &["LICENSEFILE"]));
        return;
    }
    for node in root.children().filter(Node::is_element) {
        match node.tag_name().name() {
            "FEATURE" => feature(source, node, publisher, out),
            _ => out.problems.push(unknown_element(source, node, &["FEATURE"])),
        }
    }
}

fn name_span(source: &Text, node: Node<'_, '_>) -> Range<usize> {
    let start = node.range().start + 1;
    let name = node.tag_name().name();
    start..(start + name.len()).min(source.as_str().len())
}

fn unknown_element(source: &Text, node: Node<'_, '_>, known: &[&str]) -> Problem {
    let name = node.tag_name().name();
    let meant = nearest(name, known.iter().copied());
    let problem = source.problem(name_span(source, node), format!("unknown element {name}"));
    match meant {
        Some(meant) => problem.expected(format!("did you mean {meant}?")),
        None => problem.expected(format!("expected {}", known.join(" or "))),
    }
}

/// One `FEATURE`, as far as it has been read.
struct Feature<'s, 'o> {
    source: &'s Text,
    draft: Draft<'s>,
    out: &'o mut Read,
    kind: &'static str,
    major: Option<(String, Range<usize>)>,
    minor: Option<String>,
    client: Vec<String>,
    server: Vec<String>,
    may_virtual: bool,
    may_terminal: bool,
}

fn feature(source: &Text, node: Node<'_, '_>, publisher: &Label, out: &mut Read) {
    let before = out.problems.len();
    let whole = name_span(source, node);
    let all = attributes(node);
    let kind = key_type(&all);
    let mut feature = Feature {
        source,
        draft: Draft::new(source),
        out,
        kind,
        major: None,
        minor: None,
        client: Vec::new(),
        server: Vec::new(),
        may_virtual: false,
        may_terminal: false,
    };
    for (attribute, on_feature) in &all {
        feature.attribute(attribute, *on_feature);
    }
    for child in node.children().filter(|child| child.is_element() && child.tag_name().name() != "SETTING") {
        feature.child(child);
    }
    feature.settle(&whole);
    let Feature { draft, out, .. } = feature;
    if out.problems.len() == before {
        let certificate = draft.finish(publisher, whole.clone(), &mut out.problems);
        out.certificates.extend(certificate.map(|certificate| (certificate, whole)));
    }
}

/// The attributes of a feature and of its settings, in order; whether they stand on the feature itself.
fn attributes<'a, 'i>(node: Node<'a, 'i>) -> Vec<(Attribute<'a, 'i>, bool)> {
    let own = node.attributes().map(|attribute| (attribute, true));
    let settings = node.children().filter(|child| child.has_tag_name("SETTING"));
    own.chain(settings.flat_map(|setting| setting.attributes().map(|attribute| (attribute, false)))).collect()
}

/// What kind of certificate it is, whatever else is wrong with it: the rules for the others depend on it.
fn key_type(all: &[(Attribute<'_, '_>, bool)]) -> &'static str {
    let said = all.iter().find(|(attribute, _)| attribute.name() == "KEYTYPE").map(|(attribute, _)| attribute.value());
    match said {
        Some("ADDITIVE") => "additive",
        Some("UPGRADE") => "upgrade",
        Some("TOKEN") => "token",
        _ => "exclusive",
    }
}

impl Feature<'_, '_> {
    fn problem(&mut self, span: Range<usize>, message: String, expected: &str, help: Option<String>) {
        let problem = self.source.problem(span, message).expected(expected).help(help);
        self.out.problems.push(problem);
    }

    fn warn(&mut self, span: Range<usize>, message: String) {
        let warning = self.source.problem(span, message);
        self.out.warnings.push(warning);
    }

    fn set(&mut self, name: &'static str, value: &str, attribute: &Attribute<'_, '_>) {
        self.draft.set((name, value), attribute.name(), attribute.range_value(), &mut self.out.problems);
    }

    fn attribute(&mut self, attribute: &Attribute<'_, '_>, on_feature: bool) {
        let (key, value) = (attribute.name(), attribute.value());
        if on_feature && key == "NAME" {
            self.set("feature", value, attribute);
            return;
        }
        let Some((_, meaning)) = SETTINGS.iter().find(|(name, _)| *name == key) else {
            let known = SETTINGS.iter().map(|(name, _)| *name);
            let expected = match nearest(key, known) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "no such setting".to_owned(),
            };
            let help = Some("tools/docs/templates.md lists every setting and what it becomes".to_owned());
            self.problem(attribute.range_qname(), format!("unknown setting {key}"), &expected, help);
            return;
        };
        if self.kind == "upgrade" && !OF_AN_UPGRADE.contains(&key) {
            self.not_of_an_upgrade(attribute);
            return;
        }
        match *meaning {
            Meaning::Same(name) => self.set(name, value, attribute),
            Meaning::Text(name) => self.set(name, &leasehold_protocol::licence::text::quote(value), attribute),
            Meaning::Unit(name, unit) => self.set(name, &format!("{value}{unit}"), attribute),
            Meaning::None(why) => {
                self.problem(attribute.range(), format!("{key} has no counterpart in leasehold"), why, None);
            }
            Meaning::Remark(why) => self.warn(attribute.range(), format!("{key} is left out: {why}")),
            Meaning::Own => self.own(key, value, attribute),
        }
    }

    /// L-8: an upgrade says how many, when and where.
    fn not_of_an_upgrade(&mut self, attribute: &Attribute<'_, '_>) {
        let key = attribute.name();
        self.problem(
            attribute.range(),
            format!("{key} is not allowed on an upgrade"),
            "the exclusive licence that is raised says this",
            Some(format!("an upgrade may have NAME, {}", OF_AN_UPGRADE.join(", "))),
        );
    }

    fn own(&mut self, key: &str, value: &str, attribute: &Attribute<'_, '_>) {
        match key {
            "KEYTYPE" => self.key_type(value, attribute),
            "COUNT" if value == "UNLIMITED" => self.set("count", "uncounted", attribute),
            "COUNT" => self.set("count", value, attribute),
            "MAJOR_VERSION" => self.major = Some((value.to_owned(), attribute.range_value())),
            "MINOR_VERSION" => self.minor = Some(value.to_owned()),
            "VERSION" => self.set("version", value, attribute),
            "SHARE" => self.share(value, attribute),
            "TOKEN_DEPENDENCY" => self.token(value, attribute),
            "REPLACES" => {
                let names: Vec<String> = value
                    .split([',', ' '])
                    .filter(|name| !name.is_empty())
                    .map(|name| format!("feature:{name}"))
                    .collect();
                self.set("supersedes", &names.join(", "), attribute);
            }
            "PLATFORMS" => {
                let names: Vec<String> =
                    value.split([',', ' ']).filter(|name| !name.is_empty()).map(settings::platform).collect();
                self.set("platforms", &names.join(", "), attribute);
            }
            "CLIENT_HOSTID" | "SERVER_HOSTID" => {
                for word in value.split([',', ' ']).filter(|word| !word.is_empty()) {
                    let (kind, id) = word.split_once(['=', ':']).unwrap_or(("", word));
                    self.hostid(key, kind, id, attribute.range_value());
                }
            }
            _ => {}
        }
    }

    fn key_type(&mut self, value: &str, attribute: &Attribute<'_, '_>) {
        match value {
            "EXCLUSIVE" | "ADDITIVE" | "UPGRADE" => self.set("type", &value.to_ascii_lowercase(), attribute),
            "TOKEN" => self.set("type", "additive", attribute),
            other => {
                let meant = nearest(other, ["EXCLUSIVE", "ADDITIVE", "UPGRADE", "TOKEN"]);
                let help = meant.map(|word| format!("did you mean {word}?"));
                let expected = "expected EXCLUSIVE, ADDITIVE, UPGRADE or TOKEN";
                self.problem(attribute.range_value(), format!("KEYTYPE is {other:?}"), expected, help);
            }
        }
    }

    fn share(&mut self, value: &str, attribute: &Attribute<'_, '_>) {
        let mut by = Vec::new();
        for word in value.split([',', ' ']).filter(|word| !word.is_empty()) {
            match word {
                "VIRTUAL" => self.may_virtual = true,
                "USER" | "HOST" | "CUSTOM" | "TERMINALSERVER" if self.kind == "upgrade" => {
                    let help = "an upgrade may say SHARE=\"VIRTUAL\" alone: who shares a seat is what the exclusive licence says";
                    self.problem(
                        attribute.range(),
                        format!("SHARE={word:?} is not allowed on an upgrade"),
                        "expected VIRTUAL",
                        Some(help.to_owned()),
                    );
                }
                "TERMINALSERVER" => self.may_terminal = true,
                "USER" => by.push("user"),
                "HOST" => by.push("host"),
                "CUSTOM" => by.push("share-id"),
                "SINGLE" => self.problem(
                    attribute.range_value(),
                    "SHARE=\"SINGLE\" has no counterpart in leasehold".to_owned(),
                    "one use at a time on one machine is not kept without a server",
                    Some("issue a counted licence of 1 with a client hostid".to_owned()),
                ),
                other => {
                    let meant = nearest(other, ["USER", "HOST", "CUSTOM", "VIRTUAL", "TERMINALSERVER"]);
                    let help = meant.map(|word| format!("did you mean {word}?"));
                    let expected = "expected USER, HOST, CUSTOM, VIRTUAL or TERMINALSERVER";
                    self.problem(attribute.range_value(), format!("SHARE is {other:?}"), expected, help);
                }
            }
        }
        if !by.is_empty() {
            self.set("share", &by.join(", "), attribute);
        }
    }

    /// `FEATURE=f2 VERSION=1.0 COUNT=3`.
    fn token(&mut self, value: &str, attribute: &Attribute<'_, '_>) {
        let of = |key: &str| value.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        match (of("FEATURE"), of("COUNT")) {
            (Some(feature), Some(count)) => {
                let version = of("VERSION").map(|version| format!("@{version}")).unwrap_or_default();
                self.set("cost", &format!("{count} of {feature}{version}"), attribute);
            }
            _ => self.problem(
                attribute.range_value(),
                format!("TOKEN_DEPENDENCY is {value:?}"),
                "expected FEATURE=NAME VERSION=1.0 COUNT=3",
                None,
            ),
        }
    }

    /// `CLIENT_HOSTID` and `SERVER_HOSTID` with hostids in them.
    fn child(&mut self, node: Node<'_, '_>) {
        let list = node.tag_name().name();
        if !matches!(list, "CLIENT_HOSTID" | "SERVER_HOSTID") {
            let problem = unknown_element(self.source, node, &["SETTING", "CLIENT_HOSTID", "SERVER_HOSTID"]);
            self.out.problems.push(problem);
            return;
        }
        if self.kind == "upgrade" && list == "CLIENT_HOSTID" {
            let span = name_span(self.source, node);
            self.problem(
                span,
                "CLIENT_HOSTID is not allowed on an upgrade".to_owned(),
                "the exclusive licence that is raised says this",
                Some(format!("an upgrade may have NAME, {}", OF_AN_UPGRADE.join(", "))),
            );
            return;
        }
        for attribute in
            node.children().filter(Node::is_element).flat_map(|child| child.attributes().collect::<Vec<_>>())
        {
            if attribute.name() == "HOSTID_MATCH_RATE" {
                self.attribute(&attribute, false);
            } else {
                self.hostid(list, attribute.name(), attribute.value(), attribute.range());
            }
        }
    }

    fn hostid(&mut self, list: &str, kind: &str, value: &str, span: Range<usize>) {
        let Some((_, ours)) = HOSTID_KINDS.iter().find(|(name, _)| *name == kind) else {
            let known = HOSTID_KINDS.map(|(name, _)| name);
            let help = nearest(kind, known).map(|word| format!("did you mean {word}?"));
            self.problem(
                span,
                format!("{kind:?} is no kind of hostid"),
                &format!("expected {}", known.join(", ")),
                help,
            );
            return;
        };
        let text = if *ours == "any" { "any".to_owned() } else { format!("{ours}:{value}") };
        match text.parse::<leasehold_protocol::vocab::HostId>() {
            Ok(hostid) if list == "CLIENT_HOSTID" => self.client.push(hostid.to_string()),
            Ok(hostid) => self.server.push(hostid.to_string()),
            Err(e) => self.problem(span, format!("{kind} is {value:?}"), &e.to_string(), None),
        }
    }

    /// What several settings say together, and what LM-X means where nothing is said.
    fn settle(&mut self, whole: &Range<usize>) {
        let quiet = &mut Vec::new();
        for (name, list) in [("client-hostids", &self.client), ("server-hostids", &self.server)] {
            if !list.is_empty() {
                let list: Vec<String> = list.iter().map(|id| leasehold_protocol::licence::text::quote(id)).collect();
                self.draft.set((name, &list.join(", ")), name, whole.clone(), &mut self.out.problems);
            }
        }
        self.version(whole);
        if !self.draft.has("feature") {
            self.problem(whole.clone(), "this feature has no NAME".to_owned(), "<FEATURE NAME=\"…\">", None);
        }
        match (self.kind, self.draft.has("count")) {
            ("token", _) => self.draft.set(("count", "uncounted"), "COUNT", whole.clone(), quiet),
            ("upgrade", false) => {
                self.problem(whole.clone(), "this upgrade has no COUNT".to_owned(), "<SETTING COUNT=\"…\"/>", None);
            }
            (_, false) => {
                self.draft.set(("count", "uncounted"), "COUNT", whole.clone(), quiet);
                let message = "no COUNT: a local licence, which programs read without a server".to_owned();
                self.warn(whole.clone(), message);
            }
            _ => {}
        }
        if self.kind == "upgrade" {
            return;
        }
        // LM-X keeps the first of two exclusive licences, and makes a pool of each additive one.
        self.draft.set(("dialect", "first"), "dialect", whole.clone(), quiet);
        self.draft.set(("pools", "separate"), "pools", whole.clone(), quiet);
        if !self.may_virtual {
            self.draft.set(("vm", "refused"), "SHARE", whole.clone(), quiet);
        }
        if !self.may_terminal {
            self.draft.set(("terminal-server", "refused"), "SHARE", whole.clone(), quiet);
        }
    }

    fn version(&mut self, whole: &Range<usize>) {
        if self.draft.has("version") {
            return;
        }
        match self.major.take() {
            Some((major, span)) => {
                let minor = self.minor.take().unwrap_or_else(|| "0".to_owned());
                let version = format!("{major}.{minor}");
                self.draft.set(("version", &version), "the version", span, &mut self.out.problems);
            }
            // An upgrade raises whatever version there is.
            None if self.kind == "upgrade" => {
                self.draft.set(("version", "0.0"), "the version", whole.clone(), &mut self.out.problems);
            }
            None => {
                let expected = "<SETTING MAJOR_VERSION=\"1\"/>";
                self.problem(whole.clone(), "this feature has no MAJOR_VERSION".to_owned(), expected, None);
            }
        }
    }
}
