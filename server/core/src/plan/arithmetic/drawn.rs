//! Features whose seats are made of another one's (L-14): tokens with chains, packages, suites.

use std::collections::{BTreeMap, HashMap};

use leasehold_protocol::vocab::{FeatureName, Version};

use super::{super::report::Outcome, Case, DraftFeature, Draw};

/// One step of a chain, before it is known where it ends.
#[derive(Clone)]
struct Step {
    draw: Draw,
}

/// Gives every feature without lots of its own the seats of another one, where a certificate in force says so.
pub(super) fn draw(case: &mut Case<'_>, features: &mut BTreeMap<FeatureName, DraftFeature>) {
    let steps = steps(case, features);
    let mut resolved: Vec<(FeatureName, Draw)> = Vec::new();
    for (name, step) in &steps {
        match follow(step, &steps, features) {
            Ok(draw) => resolved.push((name.clone(), draw)),
            // A component's certificate grants its own feature whatever becomes of the component.
            Err(_) if step.draw.is_component => {}
            Err(outcome) => case.set(step.draw.by, outcome),
        }
    }
    for (name, draw) in resolved {
        features.entry(name).or_default().drawn = Some(draw);
    }
}

/// For every feature without lots of its own, the certificate that says what its seats are made of: the first token of it
/// that was read, or else the first bundle it is a component of.
fn steps(case: &mut Case<'_>, features: &BTreeMap<FeatureName, DraftFeature>) -> HashMap<FeatureName, Step> {
    let mut steps: HashMap<FeatureName, Step> = HashMap::new();
    let open: Vec<usize> = (0..case.held.len()).filter(|index| case.is_open(*index) && case.is_alive(*index)).collect();
    for &index in &open {
        let certificate = &case.loaded(index).signed.certificate;
        let Some(cost) = &certificate.terms.cost else { continue };
        if let Some(own) = features.get(&certificate.feature).and_then(|feature| feature.lots.first()) {
            case.set(index, Outcome::OwnSeats { by: case.id(own.shown) });
        } else if let Some(first) = steps.get(&certificate.feature) {
            case.set(index, Outcome::SecondPrice { by: case.id(first.draw.by) });
        } else {
            let draw = Draw {
                from: cost.of.clone(),
                version: cost.version,
                each: cost.seats.get(),
                by: index,
                answers: certificate.version,
                is_component: false,
            };
            steps.insert(certificate.feature.clone(), Step { draw });
        }
    }
    for &index in open.iter().filter(|index| in_force(case, **index, features)) {
        let certificate = &case.loaded(index).signed.certificate;
        let Some(components) = certificate.terms.components.as_ref() else { continue };
        for (component, version) in &components.features {
            let has_lots = features.get(component).is_some_and(|feature| !feature.lots.is_empty());
            if has_lots || steps.contains_key(component) {
                continue;
            }
            let answers = if *version == Version::ANY { certificate.version } else { *version };
            let draw = Draw {
                from: certificate.feature.clone(),
                version: Version::ANY,
                each: 1,
                by: index,
                answers,
                is_component: true,
            };
            steps.insert(component.clone(), Step { draw });
        }
    }
    steps
}

fn in_force(case: &Case<'_>, index: usize, features: &BTreeMap<FeatureName, DraftFeature>) -> bool {
    let feature = features.get(&case.loaded(index).signed.certificate.feature);
    feature.is_some_and(|feature| feature.lots.iter().any(|lot| lot.source == index))
}

/// Follows the chain from `first` to the feature that has lots.
fn follow(
    first: &Step,
    steps: &HashMap<FeatureName, Step>,
    features: &BTreeMap<FeatureName, DraftFeature>,
) -> Result<Draw, Outcome> {
    let mut draw = first.draw.clone();
    // No chain is longer than there are steps: circles were taken out before.
    for _ in 0..=steps.len() {
        if features.get(&draw.from).is_some_and(|feature| !feature.lots.is_empty()) {
            return Ok(draw);
        }
        let Some(next) = steps.get(&draw.from) else { return Err(Outcome::NothingToDraw) };
        if next.draw.answers < draw.version {
            return Err(Outcome::NothingToDraw);
        }
        draw.each = draw.each.checked_mul(next.draw.each).ok_or(Outcome::TooDear)?;
        draw.from = next.draw.from.clone();
        draw.version = next.draw.version;
        draw.is_component &= next.draw.is_component;
    }
    Err(Outcome::Cycle)
}
