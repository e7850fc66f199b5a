//! Tests over all instruction sets of a machine say nothing of one that it lacks. A machine that is there to test
//! certain ones sets `MINILM_REQUIRE_ISAS=scalar,avx2,avx512`, and a missing one is a failure. So it is with the
//! instructions for bf16, int8 and bits, by the names of `cpu_features`: `avxvnni`, `avx512bf16`, `avx512vnni`,
//! `avx512vpopcntdq`, `dotprod`, `i8mm`.
//!
//! A module of `tests/tests/bits.rs` too.

use super::{Isa, cpu_features};

#[test]
fn this_machine_has_the_required_instruction_sets() {
    let required = std::env::var("MINILM_REQUIRE_ISAS").unwrap_or_default();
    if required.is_empty() {
        return;
    }
    let mut available: Vec<&str> = Isa::available().into_iter().map(Isa::name).collect();
    available.extend(cpu_features());
    let missing: Vec<&str> = required.split(',').filter(|name| !available.contains(name)).collect();
    assert!(
        missing.is_empty(),
        "MINILM_REQUIRE_ISAS={required}: this machine lacks {missing:?} and has {available:?}"
    );
}
