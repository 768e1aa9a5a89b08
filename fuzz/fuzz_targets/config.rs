//! A configuration file: it is refused in one line, or everything it says keeps its rules.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(line) = tickgate::check_configuration(text) {
        assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
    }
});
