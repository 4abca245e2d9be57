//! NFS over TCP: the RPC NULL (RFC 5531, RFC 7530 section 16.1), which every version has and which does nothing.

use super::{attempt::Failed, wire::Wire};

/// Nothing: the connection is closed.
pub(super) const GOODBYE: &[u8] = b"";

const PROGRAM: u32 = 100_003;
/// It comes back in the reply.
const XID: u32 = 0x5741_4e44;
const LAST_FRAGMENT: u32 = 1 << 31;

pub(super) async fn converse(wire: &mut Wire, version: u8) -> Result<(), Failed> {
    // A call (0) of RPC 2, procedure 0, with no credentials and no verifier.
    let call = [LAST_FRAGMENT | 40, XID, 0, 2, PROGRAM, version.into(), 0, 0, 0, 0, 0];
    wire.say(&call.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()).await?;
    let what = "answer to NULL";
    let not_rpc = || Failed::said(format!("{what} is not RPC"));
    let mark = words(&wire.bytes(4, what).await?)[0];
    let length = usize::try_from(mark & !LAST_FRAGMENT).ok().filter(|length| (20..=1024).contains(length));
    let reply = words(&wire.bytes(length.ok_or_else(not_rpc)?, what).await?);
    match reply[..] {
        // A reply (1), accepted (0), with whatever verifier: what became of it stands behind that.
        [XID, 1, 0, _, verifier, ref rest @ ..] => {
            match rest.get(usize::try_from(verifier / 4).map_err(|_| not_rpc())?..) {
                Some([0, ..]) => Ok(()),
                Some([1, ..]) => Err(Failed::said("NFS is not served here")),
                Some([2, low, high, ..]) => {
                    let served = if low == high { format!("{low} is") } else { format!("{low} to {high} are") };
                    Err(Failed::said(format!("NFS version {version} is not served, {served}")))
                }
                Some([status, ..]) => Err(Failed::said(format!("RPC status {status}"))),
                Some([]) | None => Err(not_rpc()),
            }
        }
        [XID, 1, 1, ..] => Err(Failed::said("RPC refused")),
        _ => Err(not_rpc()),
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]])).collect()
}
