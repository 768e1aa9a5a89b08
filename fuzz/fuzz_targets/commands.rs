//! One message of a client, in both formats: reading it may refuse and nothing else, and what was
//! understood says the same when it is written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tickgate_protocol::dialect::Dialect;

fuzz_target!(|message: &[u8]| {
    for dialect in Dialect::ALL {
        let Ok(command) = dialect.parse_command(message) else { continue };
        let mut written = Vec::new();
        dialect.write_command(&mut written, &command);
        assert_eq!(dialect.parse_command(&written).as_ref(), Ok(&command), "{dialect:?}");
    }
});
