//! `leasehold issue`: templates to one signed licence file. Written whole, or not at all.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use clap::ValueHint;
use leasehold_protocol::{
    licence::{
        Certificate, PublisherKey, PublisherSecret, SeatLimit, SignedCertificate, canonical,
        text::{self, CERTIFICATES_MAX, FILE_MAX},
    },
    time::UnixMillis,
    vocab::{CertificateId, Label},
};
use leasehold_server::clock_now;

use super::{
    explain,
    files::{self, PLAIN},
    lint::{Standing, standings},
    passphrase::{self, PassphraseArgs},
    problem::Problems,
    template::{EXAMPLE, Language, Template},
};
use crate::{
    exit::{Exit, Failure},
    human,
    local::shell_path,
    output::{self, WARN, paint},
    say,
    table::Rows,
};

/// Signs what templates ask for. On any mistake nothing is written.
#[derive(clap::Args, Clone, Debug)]
pub struct IssueArgs {
    /// What to sign: TOML (see --example), LM-X style XML or FlexNet style lines. Several become one licence file, in this order
    #[arg(value_name = "TEMPLATE", required_unless_present = "example", value_hint = ValueHint::FilePath)]
    pub templates: Vec<PathBuf>,

    /// The publisher's secret key, from `leasehold keygen`
    #[arg(long, short, value_name = "NAME.key", required_unless_present_any = ["example", "explain"], value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,

    /// The licence file to write; - for stdout
    #[arg(long, short, value_name = "OUT.lic", required_unless_present_any = ["example", "explain"], value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,

    /// Replace the licence file if it is there
    #[arg(long)]
    pub force: bool,

    /// The templates' language, if it is not the one they look like
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub format: Option<Language>,

    /// Say in plain words what each certificate would grant, and sign nothing
    #[arg(long, conflicts_with = "output")]
    pub explain: bool,

    /// Print a template that explains itself, and sign nothing
    #[arg(long, exclusive = true)]
    pub example: bool,
}

/// Signs and writes.
///
/// # Errors
/// If a template has mistakes, the key cannot be used or the file cannot be written.
pub fn issue(args: &IssueArgs) -> Result<Exit, Failure> {
    if args.explain {
        return explain(args);
    }
    let (Some(key), Some(to)) = (&args.key, &args.output) else {
        output::result(EXAMPLE)?;
        return Ok(Exit::OK);
    };
    let secret = read_secret(args, key)?;
    if files::others_may_read(key) {
        let file = shell_path(key);
        say!("{} others may read {file}; keep it to yourself: chmod 600 {file}", paint(WARN, "warning:"));
    }
    let publisher = secret.public().publisher().clone();
    let templates = read_all(args, Some(&publisher))?;
    let signed = sign_each(&templates, &secret)?;
    for remark in templates.iter().flat_map(|template| &template.warnings) {
        say!("{} {}", paint(WARN, "warning:"), remark.in_one_line());
    }
    let licence = licence_text(&signed, &secret.public())?;
    for warning in warnings(&signed, clock_now().wall) {
        say!("{} {warning}", paint(WARN, "warning:"));
    }
    if to.as_os_str() == "-" {
        output::result(&licence)?;
        say!("{}", summary(&signed));
    } else {
        files::write_whole(to, &licence, PLAIN, args.force)?;
        output::result(&format!("{}\n{}", summary(&signed), next_steps(to, key)))?;
    }
    Ok(Exit::OK)
}

fn read_secret(args: &IssueArgs, path: &Path) -> Result<PublisherSecret, Failure> {
    passphrase::read_secret(path, args.passphrase.passphrase_file.as_deref())
}

/// Says what the templates would grant.
fn explain(args: &IssueArgs) -> Result<Exit, Failure> {
    let publisher = args.key.as_deref().map(passphrase::read).transpose()?.map(|file| file.publisher().clone());
    let templates = read_all(args, publisher.as_ref())?;
    let now = clock_now().wall;
    let mut out = String::new();
    for template in &templates {
        template.certificates.iter().for_each(|certificate| out += &explain::certificate(certificate, now));
        for remark in &template.warnings {
            out += &format!("{} {}\n", paint(WARN, "warning:"), remark.in_one_line());
        }
    }
    output::result(&out)?;
    Ok(Exit::OK)
}

/// Reads every template; nothing if any has a mistake.
fn read_all(args: &IssueArgs, publisher: Option<&Label>) -> Result<Vec<Template>, Failure> {
    let (mut templates, mut problems) = (Vec::new(), Vec::new());
    for path in &args.templates {
        let (name, text) = (path.display().to_string(), files::read_text(path)?);
        let language = args.format.unwrap_or_else(|| Language::of(&text));
        match Template::read_as(language, &name, &text, publisher) {
            Ok(template) => templates.push(template),
            Err(found) => problems.extend(found.0),
        }
    }
    if problems.is_empty() { Ok(templates) } else { Err(Problems(problems).into()) }
}

/// Signs every certificate of `templates`. Two equal ones would count once wherever they are loaded, so they are a mistake.
pub(super) fn sign_each(templates: &[Template], secret: &PublisherSecret) -> Result<Vec<SignedCertificate>, Problems> {
    let (mut signed, mut problems) = (Vec::new(), Vec::new());
    let mut seen: HashSet<CertificateId> = HashSet::new();
    for template in templates {
        for (certificate, span) in template.certificates.iter().zip(&template.spans) {
            let one = canonical::sign(certificate, secret);
            if !seen.insert(one.id) {
                let problem =
                    template.source.problem(span.clone(), "the same grant as one before: it would count once");
                problems.push(problem.expected("a difference").help(Some("give each its own serial = \"…\"")));
            }
            signed.push(one);
        }
    }
    if problems.is_empty() { Ok(signed) } else { Err(Problems(problems)) }
}

/// The licence file, once it has been read back as every server will read it.
fn licence_text(signed: &[SignedCertificate], key: &PublisherKey) -> Result<String, Failure> {
    if signed.is_empty() {
        return Err(Failure::new("the templates name no feature, and nothing was written")
            .remedy("add a [[feature]]; for an example: leasehold issue --example"));
    }
    if signed.len() > CERTIFICATES_MAX {
        return Err(Failure::new(format!(
            "{} certificates, and a licence file holds {CERTIFICATES_MAX}",
            signed.len()
        ))
        .remedy("issue several files"));
    }
    let comment = format!("Publisher {}, key {}, {}.", key.publisher(), key.key_id(), count(signed.len()));
    let licence = text::write(signed, &comment);
    if licence.len() > FILE_MAX {
        return Err(Failure::new(format!(
            "the licence file would have {} bytes, and may have {FILE_MAX}",
            licence.len()
        ))
        .remedy("issue several files"));
    }
    let back = text::read(&licence, std::slice::from_ref(key));
    if let Some(refused) = back.refused.first() {
        return Err(Failure::new(format!("the signed licence does not read back: {}", refused.why)));
    }
    Ok(licence)
}

/// What was asked for and would have no effect.
pub(super) fn warnings(signed: &[SignedCertificate], now: UnixMillis) -> Vec<String> {
    let all: Vec<&SignedCertificate> = signed.iter().collect();
    let told = all.iter().zip(standings(&all, &BTreeMap::new(), now)).filter_map(|(signed, standing)| {
        let why = match standing {
            Standing::Expired => "has ended already",
            Standing::Replaced { .. } => {
                "is replaced by a later exclusive one of the same feature; type = \"additive\" would add to it"
            }
            Standing::Not(report) => return Some(report.sentence),
            _ => return None,
        };
        Some(format!("the certificate {} for {} {why}", signed.id, signed.certificate.feature))
    });
    told.collect()
}

fn count(certificates: usize) -> String {
    human::count(certificates as u64, "certificate")
}

fn summary(signed: &[SignedCertificate]) -> String {
    let mut rows = Rows::new(&["feature", "version", "seats", "type", "from", "until", "certificate"]).numbers(&[2]);
    for one in signed {
        let c = &one.certificate;
        let seats = match c.count {
            SeatLimit::Counted(seats) => seats.to_string(),
            SeatLimit::Uncounted => "uncounted".to_owned(),
        };
        let (from, until) = dates(c);
        rows.push(vec![
            c.feature.to_string(),
            c.version.to_string(),
            seats,
            key_type(c).to_owned(),
            from,
            until,
            one.id.to_string(),
        ]);
    }
    format!("signed {}\n{}", count(signed.len()), rows.render())
}

fn dates(c: &Certificate) -> (String, String) {
    let shown = |day: Option<leasehold_protocol::licence::Day>, never: &str| {
        day.map_or(never.to_owned(), |day| day.to_string())
    };
    (shown(c.start, "always"), shown(c.end, "permanent"))
}

pub(super) fn key_type(c: &Certificate) -> &'static str {
    c.key_type.name()
}

fn next_steps(licence: &Path, key: &Path) -> String {
    let (licence, public) = (shell_path(licence), shell_path(&key.with_extension("pub")));
    format!(
        "written to {licence}; next, check it and serve it:\n\
         \n  leasehold lint {licence} --publisher-key {public}\
         \n  leasehold serve --licence {licence} --publisher-key {public}\n"
    )
}
