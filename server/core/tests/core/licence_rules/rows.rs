//! The rows.

use leasehold_protocol::{
    licence::certificate::{
        Components, Cost, Dialect, KeyType, Metered, Pooling, ShareBy, Superseded, Terms, Together,
    },
    vocab::{FeatureName, SeatCount, Version},
};

use super::Row;
use crate::rig::Lot;

pub(super) fn all() -> Vec<Row> {
    [order(), dates(), upgrades(), refused_upgrades(), limits(), composed(), taken_away(), places()]
        .into_iter()
        .flatten()
        .collect()
}

fn exclusive(seats: u32) -> Lot {
    Lot::of("A", seats).exclusive()
}

fn additive(seats: u32) -> Lot {
    Lot::of("A", seats)
}

fn upgrade(seats: u32) -> Lot {
    let mut lot = Lot::of("A", seats);
    lot.certificate.key_type = KeyType::Upgrade;
    lot
}

fn first(terms: &mut Terms) {
    terms.dialect = Dialect::First;
}

fn separate(terms: &mut Terms) {
    terms.pools = Pooling::Separate;
}

fn cost(seats: u32, of: &str) -> impl FnOnce(&mut Terms) {
    let (seats, of) = (SeatCount::new(seats).unwrap(), FeatureName::new(of).unwrap());
    move |terms| terms.cost = Some(Cost { seats, of, version: Version::ANY })
}

fn bundle(together: Together, features: &[&str]) -> impl FnOnce(&mut Terms) {
    let features = features.iter().map(|name| (FeatureName::new(name).unwrap(), Version::ANY)).collect();
    move |terms| terms.components = Some(Components { together, features })
}

fn order() -> Vec<Row> {
    vec![
        Row::new("L-4", "no certificates at all is no failure", vec![]),
        Row::new("L-4", "the same certificate twice counts once", vec![exclusive(5), exclusive(5)]),
        Row::new(
            "L-6, L-7 replace",
            "[exclusive 10, additive 5]: the exclusive one mutes what was read after it",
            vec![exclusive(10), additive(5)],
        ),
        Row::new(
            "L-6, L-7 replace",
            "[additive 5, exclusive 10]: and what was read before it",
            vec![additive(5), exclusive(10)],
        ),
        Row::new(
            "L-6, L-7 replace",
            "[exclusive 10, exclusive 3, additive 2]: a later exclusive one overrides again",
            vec![exclusive(10), exclusive(3), additive(2)],
        ),
        Row::new(
            "L-6, L-7 first",
            "[exclusive 10, additive 5]: additive ones stay, in pools of their own as LM-X has them",
            vec![exclusive(10).terms(first).terms(separate), additive(5).terms(separate)],
        ),
        Row::new(
            "L-6, L-7 first",
            "[additive 5, exclusive 10]: whatever the order",
            vec![additive(5).terms(separate), exclusive(10).terms(first).terms(separate)],
        ),
        Row::new(
            "L-6, L-7 first",
            "[exclusive 10, exclusive 3, additive 2]: the first exclusive one stays, the second is discarded",
            vec![exclusive(10).terms(first), exclusive(3).terms(first), additive(2)],
        ),
        Row::new("L-7 joined", "additive ones are one pool", vec![additive(1), additive(2), additive(3)]),
        Row::new(
            "L-7 separate",
            "pools of 1, 2 and 3 cannot answer a request for 4",
            vec![additive(1).terms(separate), additive(2).terms(separate), additive(3).terms(separate)],
        ),
        Row::new(
            "L-11",
            "rights of two versions; the lots are listed in file order, and serve exact before higher",
            vec![additive(3).version("5.0"), additive(2).version("4.0").end("2026-12-31")],
        ),
    ]
}

fn dates() -> Vec<Row> {
    vec![
        Row::new(
            "L-9",
            "a right begins and ends by itself, at the first and the last instant of its days",
            vec![exclusive(5).start("2026-07-01").end("2026-12-31")],
        ),
        Row::new(
            "L-9",
            "in its own zone, daylight saving included (Europe/Berlin, both changes of 2026)",
            vec![
                additive(1).zone("Europe/Berlin").start("2026-03-29").end("2026-03-29"),
                additive(2).zone("Europe/Berlin").start("2026-10-25").end("2026-10-25"),
            ],
        )
        .on("2026-03-01", "2026-12-01"),
        Row::new(
            "L-9",
            "a day whose midnight does not exist begins at one (America/Sao_Paulo, 2018-11-04)",
            vec![exclusive(4).zone("America/Sao_Paulo").start("2018-11-04").end("2018-11-04")],
        )
        .on("2018-11-01", "2018-12-01"),
        Row::new(
            "L-6, L-9",
            "an exclusive right that ends gives the pool back to the one before it",
            vec![exclusive(10), exclusive(20).end("2026-08-31")],
        ),
    ]
}

fn upgrades() -> Vec<Row> {
    vec![
        Row::new(
            "L-8",
            "exclusive 5 + upgrade 1 + upgrade 2 (ending earlier): one pool of 8, then of 6",
            vec![exclusive(5), upgrade(1), upgrade(2).end("2026-09-30")],
        ),
        Row::new(
            "L-8, L-9",
            "the same over both changes of the clocks in Europe/Berlin",
            vec![
                exclusive(5).zone("Europe/Berlin"),
                upgrade(1).zone("Europe/Berlin").start("2026-03-29"),
                upgrade(2).zone("Europe/Berlin").start("2026-03-29").end("2026-10-25"),
            ],
        )
        .on("2026-03-01", "2026-12-01"),
        Row::new(
            "L-8, L-9",
            "and over a midnight that is missing",
            vec![
                exclusive(5).zone("America/Sao_Paulo"),
                upgrade(1).zone("America/Sao_Paulo"),
                upgrade(2).zone("America/Sao_Paulo").end("2018-11-03"),
            ],
        )
        .on("2018-11-01", "2018-12-01"),
        Row::new("L-8", "the order in the file does not matter", vec![upgrade(1), exclusive(5)]),
        Row::new("L-8", "the same upgrade twice counts once", vec![exclusive(5), upgrade(1), upgrade(1)]),
        Row::new(
            "L-8",
            "two that only differ in their serial count twice",
            vec![exclusive(5), upgrade(1).serial("1"), upgrade(1).serial("2")],
        ),
        Row::new(
            "L-8",
            "with neither date it lasts as long as what it raises",
            vec![exclusive(5).start("2026-05-01").end("2026-12-31"), upgrade(1)],
        ),
        Row::new(
            "L-8, L-7 separate",
            "it raises the exclusive one's pool and makes none of its own",
            vec![exclusive(5).terms(first).terms(separate), upgrade(1), additive(3).terms(separate)],
        ),
        Row::new(
            "L-8, L-6",
            "it raises whichever exclusive certificate makes the pool",
            vec![exclusive(5), exclusive(7), upgrade(1)],
        ),
    ]
}

fn refused_upgrades() -> Vec<Row> {
    let much = SeatCount::MAX.get();
    vec![
        Row::new("L-8 no exclusive", "there is nothing to raise", vec![additive(5), upgrade(1)]),
        Row::new(
            "L-8 no exclusive",
            "until what it raises begins, which the report tells",
            vec![exclusive(5).start("2026-07-01"), upgrade(1).start("2026-07-01")],
        ),
        Row::new(
            "L-8 no exclusive",
            "it does not begin before it either",
            vec![exclusive(5).start("2026-07-01"), upgrade(1)],
        ),
        Row::new(
            "L-8 version",
            "its version is not above the exclusive one's",
            vec![exclusive(5).version("4.8"), upgrade(1).version("4.9"), upgrade(2).version("4.7")],
        ),
        Row::new(
            "L-8 lifetime",
            "it ends after what it would raise",
            vec![exclusive(5).end("2026-12-31"), upgrade(1).end("2027-01-01"), upgrade(2).end("2026-12-31")],
        ),
        Row::new(
            "L-8 lifetime",
            "it begins before what it would raise",
            vec![exclusive(5).start("2026-02-01"), upgrade(1).start("2026-01-31"), upgrade(2).start("2026-02-01")],
        ),
        Row::new(
            "L-8 uncounted",
            "what it would raise is uncounted",
            vec![exclusive(1).uncounted().terms(|t| t.server_hostids = vec!["disk:1".parse().unwrap()]), upgrade(1)],
        )
        .at(|here, _| here.hostids = Some(vec!["disk:1".parse().unwrap()])),
        Row::new(
            "L-8 range",
            "the sum stays in the range of a count: the one that would leave it is refused, the next may fit",
            vec![exclusive(much - 3), upgrade(2), upgrade(2).serial("2"), upgrade(1)],
        ),
        Row::new(
            "L-8 machine",
            "it may be locked to a server's machine, which another server is not",
            vec![
                exclusive(5),
                upgrade(1).terms(|t| t.server_hostids = vec!["disk:1".parse().unwrap()]),
                upgrade(2).terms(|t| t.server_hostids = vec!["disk:2".parse().unwrap()]),
            ],
        )
        .at(|here, _| here.hostids = Some(vec!["disk:1".parse().unwrap()])),
    ]
}

fn limits() -> Vec<Row> {
    let seats = |n| Some(SeatCount::new(n).unwrap());
    vec![
        Row::new(
            "L-10",
            "a right that ends while seats are out takes them off nobody; what is out then is overage (`plans.rs`)",
            vec![exclusive(5).end("2026-06-30")],
        ),
        Row::new(
            "L-12",
            "uncounted, and locked to this server's machine",
            vec![exclusive(1).uncounted().terms(|t| t.server_hostids = vec!["host:render".parse().unwrap()])],
        )
        .at(|here, _| here.hostids = Some(vec!["host:render".parse().unwrap()])),
        Row::new(
            "L-13",
            "seats of overdraft are there besides, and told apart",
            vec![exclusive(5).terms(|t| (t.overdraft, t.soft_limit) = (seats(2), seats(4)))],
        ),
        Row::new(
            "L-16",
            "a trial that nobody has used has no end yet",
            vec![exclusive(5).terms(|t| t.trial_days = Some(30))],
        ),
        Row::new(
            "L-16",
            "one that was used on 10 May ends with the thirtieth day after it",
            vec![exclusive(5).terms(|t| t.trial_days = Some(30))],
        )
        .at(|here, all| _ = here.trials.insert(all[0].id, super::instant("2026-05-10"))),
        Row::new(
            "L-16",
            "and is over afterwards, whatever is loaded again",
            vec![exclusive(5).terms(|t| t.trial_days = Some(10))],
        )
        .at(|here, all| _ = here.trials.insert(all[0].id, super::instant("2026-05-10"))),
        Row::new(
            "L-17",
            "a meter has units; the engine uses them up (`rights.rs`)",
            vec![exclusive(100).terms(|t| (t.metered, t.undo_s) = (Some(Metered::Consumed), Some(60)))],
        ),
        Row::new(
            "L-2",
            "what is not acted upon is said",
            vec![exclusive(5).terms(|t| (t.share, t.linger_s) = (Some(ShareBy::USER), Some(600)))],
        ),
    ]
}

fn composed() -> Vec<Row> {
    let token = |name: &str, seats, of: &str| Lot::of(name, 1).exclusive().uncounted().terms(cost(seats, of));
    vec![
        Row::new("L-14 token", "a seat of A is three of T", vec![token("A", 3, "T"), Lot::of("T", 10)]),
        Row::new(
            "L-14 token",
            "chains multiply, and follow the seats they end in",
            vec![token("A", 3, "B"), token("B", 2, "T"), Lot::of("T", 20).end("2026-12-31"), Lot::of("T", 6)],
        ),
        Row::new(
            "L-14 token",
            "a circle is refused, and only what is in it",
            vec![token("A", 2, "B"), token("B", 1, "C"), token("C", 1, "A"), token("D", 1, "A"), Lot::of("T", 5)],
        ),
        Row::new("L-14 token", "nothing to be made of", vec![token("A", 2, "T")]),
        Row::new(
            "L-14 token",
            "a feature's own seats come first",
            vec![token("A", 2, "T"), Lot::of("T", 10), additive(4).end("2026-12-31")],
        ),
        Row::new(
            "L-14 token",
            "of two prices the first that was read holds",
            vec![token("A", 2, "T"), token("A", 5, "T"), Lot::of("T", 10)],
        ),
        Row::new(
            "L-14 package",
            "components hold the package's seats, one for each holder",
            vec![Lot::of("OFFICE", 10).exclusive().terms(bundle(Together::Package, &["A", "B"]))],
        ),
        Row::new(
            "L-14 suite",
            "components share the suite's seats",
            vec![Lot::of("OFFICE", 10).exclusive().terms(bundle(Together::Suite, &["A", "B"]))],
        ),
        Row::new(
            "L-14 suite",
            "a component with seats of its own uses those",
            vec![Lot::of("OFFICE", 10).exclusive().terms(bundle(Together::Suite, &["A", "B"])), additive(3)],
        ),
    ]
}

fn taken_away() -> Vec<Row> {
    let feature = |name: &str| Superseded::Feature(FeatureName::new(name).unwrap());
    vec![
        Row::new(
            "L-15",
            "a certificate takes away those of a feature that were read before it",
            vec![additive(5), additive(3).serial("new").terms(|t| t.supersedes = vec![feature("A")]), additive(2)],
        ),
        Row::new(
            "L-15",
            "from when it begins, and as long as it lasts",
            vec![
                additive(5),
                Lot::of("B", 3).start("2026-08-01").end("2026-12-31").terms(|t| t.supersedes = vec![feature("A")]),
            ],
        ),
    ]
}

fn places() -> Vec<Row> {
    let ids = |text: &str| text.split(' ').map(|id| id.parse().unwrap()).collect::<Vec<_>>();
    let locked = |rate| {
        exclusive(5).terms(move |t| (t.server_hostids, t.match_rate) = (ids("disk:1 disk:2 disk:3"), Some(rate)))
    };
    vec![
        Row::new("L-19", "one of the listed hostids is enough where no rate is set", vec![locked(0)])
            .at(|here, _| here.hostids = Some(vec!["disk:2".parse().unwrap()])),
        Row::new("L-19", "33 % of three is one", vec![locked(33)])
            .at(|here, _| here.hostids = Some(vec!["disk:2".parse().unwrap()])),
        Row::new("L-19", "34 % of three is not", vec![locked(34)])
            .at(|here, _| here.hostids = Some(vec!["disk:2".parse().unwrap()])),
    ]
}
