//! SMB 2 and 3 (MS-SMB2): NEGOTIATE.

use super::{attempt::Failed, wire::Wire};

/// Nothing: the connection is closed.
pub(super) const GOODBYE: &[u8] = b"";

/// 2.0.2, 2.1, 3.0, 3.0.2: 3.1.1 needs no more than they do to show that the server is well.
const DIALECTS: [u16; 4] = [0x0202, 0x0210, 0x0300, 0x0302];
const MAGIC: &[u8] = b"\xfeSMB";
/// Of a header (section 2.2.1.2).
const HEADER: usize = 64;

pub(super) async fn converse(wire: &mut Wire) -> Result<(), Failed> {
    wire.say(&request()).await?;
    let what = "answer to NEGOTIATE";
    let frame = wire.bytes(4, what).await?;
    let length = usize::from(frame[1]) << 16 | usize::from(frame[2]) << 8 | usize::from(frame[3]);
    if frame[0] != 0 || !(HEADER + 8..=16 * 1024).contains(&length) {
        return Err(Failed::said(format!("{what} is not SMB 2")));
    }
    let answer = wire.bytes(length, what).await?;
    if !answer.starts_with(MAGIC) {
        return Err(Failed::said(format!("{what} is not SMB 2")));
    }
    let status = u32::from_le_bytes([answer[8], answer[9], answer[10], answer[11]]);
    let dialect = u16::from_le_bytes([answer[HEADER + 4], answer[HEADER + 5]]);
    match (status, DIALECTS.contains(&dialect)) {
        (0, true) => Ok(()),
        (0, false) => Err(Failed::said(format!("dialect {dialect:#06x} was not asked for"))),
        (status, _) => Err(Failed::said(format!("NEGOTIATE refused with status {status:#010x}"))),
    }
}

/// Sections 2.1 (the frame), 2.2.1.2, 2.2.3.
fn request() -> Vec<u8> {
    let mut message = [MAGIC, &HEADER_SIZE.to_le_bytes()].concat();
    // Credits, status, the command (0), one credit asked for, and what a first request leaves empty.
    message.extend([0; 8]);
    message.extend(1_u16.to_le_bytes());
    message.resize(HEADER, 0);
    let count = u16::try_from(DIALECTS.len()).expect("a few");
    // Structure size, dialects, signing enabled; reserved, capabilities, client, start time.
    for number in [36, count, 1] {
        message.extend(number.to_le_bytes());
    }
    message.extend([0; 2 + 4 + 16 + 8]);
    message.extend(DIALECTS.iter().flat_map(|dialect| dialect.to_le_bytes()));
    let length = u32::try_from(message.len()).expect("about a hundred");
    [&length.to_be_bytes()[..], &message].concat()
}

const HEADER_SIZE: u16 = 64;
