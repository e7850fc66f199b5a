//! Who asks the server.

mod aborted;
mod invalid;
mod oversized;
mod slow;
mod too_many;
mod valid;

use crate::actor::Actor;

pub(crate) use too_many::warm_up;

pub(crate) type Step = for<'a> fn(&mut Actor<'a>);

/// Each kind, with how many there are of it.
pub(crate) const KINDS: [(&str, usize, Step); 8] = [
    ("valid", 3, valid::step),
    ("large", 1, valid::large),
    ("invalid", 2, invalid::step),
    (SLOW, 4, slow::step),
    ("idle", 3, slow::idle),
    ("aborted", 2, aborted::step),
    ("oversized", 1, oversized::step),
    (TOO_MANY, 1, too_many::step),
];

pub(crate) const SLOW: &str = "slow";

pub(crate) const TOO_MANY: &str = "too many";
