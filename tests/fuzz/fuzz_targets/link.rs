//! The query of an opened link: an approval's, and that of taking a version back.

#![no_main]

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use signalbox_model::link::SignedLink;
use signalbox_model::undo;

/// What KMS takes to make or verify a MAC.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Any 32 bytes, as a link has them.
const MAC: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fuzz_target!(|data: &[u8]| {
    if let Ok(query) = std::str::from_utf8(data) {
        approval(query);
        take_back(query);
    }
    // And as the claims inside of a link: chance alone does not get through base64 to them.
    let claims = BASE64_URL_SAFE_NO_PAD.encode(data);
    approval(&format!("c={claims}&m={MAC}"));
    take_back(&format!("u={claims}&m={MAC}"));
});

/// What is read as an approval's link is signed in few bytes, and written back it is read as the same.
fn approval(query: &str) {
    let Ok(link) = SignedLink::parse(query) else { return };
    assert!(link.claims.message().len() <= MESSAGE_BYTES_MAX);
    let written = link.url("");
    assert_eq!(SignedLink::parse(written.trim_start_matches('?')), Ok(link));
}

/// The same for taking a version back; and it is never read as an approval.
fn take_back(query: &str) {
    let Ok((claims, mac)) = undo::Claims::parse(query) else {
        return;
    };
    assert!(claims.message().len() <= MESSAGE_BYTES_MAX);
    let written = claims.url("", &mac);
    let written = written.trim_start_matches('?');
    assert!(undo::Claims::are_in(written));
    assert!(SignedLink::parse(written).is_err());
    assert_eq!(undo::Claims::parse(written), Ok((claims, mac)));
}
