use std::{sync::Arc, time::Duration};

use dns::Zones;
use model::{Health, config::parse_cluster};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::*;

const CLUSTER: &str = "[cluster]\nname = \"example\"\n[server.web1]\naddress = \"10.77.0.11\"\n";
/// Short, and far shorter than [`PATIENCE`]: who waits for the end waits for this.
const SHORT: Duration = Duration::from_millis(50);

async fn server() -> (Arc<Answerer>, SocketAddr) {
    let config = parse_cluster("cluster.toml", CLUSTER).expect("a valid configuration");
    let view = View::build(&Arc::new(Zones::compile(Vec::<dns::Zone>::new(), &config)), &Health::default(), "web1");
    let patience = Patience { usual: SHORT, under_pressure: SHORT };
    let answerer = Arc::new(Answerer::new(&Arc::new(ArcSwap::from_pointee(view)), patience));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let place = listener.local_addr().expect("bound");
    tokio::spawn(accept(Arc::clone(&answerer), listener));
    (answerer, place)
}

/// Reads to the end, which is an error if the server cut the connection with something unread.
async fn read_to_the_end(stream: &mut TcpStream) -> usize {
    let (mut bytes, mut chunk) = (0, vec![0; 64 * 1024]);
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        bytes += length;
    }
    bytes
}

async fn all_places_given_back(answerer: &Answerer) {
    while answerer.limits.taken() > 0 {
        tokio::task::yield_now().await;
    }
}

/// A query that gets REFUSED: nothing is served here.
fn query() -> Vec<u8> {
    let message = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01x\0\0\x01\0\x01";
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

#[tokio::test]
async fn who_says_nothing_or_dribbles_is_cut_off() {
    let (answerer, place) = server().await;
    let mut silent = TcpStream::connect(place).await.expect("connected");
    assert_eq!(read_to_the_end(&mut silent).await, 0);
    // Bytes that make no message do not keep a connection.
    let mut dribbling = TcpStream::connect(place).await.expect("connected");
    let mut sent = 0;
    while dribbling.write_all(&[1]).await.is_ok() {
        tokio::time::sleep(SHORT / 10).await;
        sent += 1;
        assert!(sent < 250, "a dribbler is kept for ever");
    }
    all_places_given_back(&answerer).await;
}

#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    let (answerer, place) = server().await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("less room, less to write");
    let mut deaf = socket.connect(place).await.expect("connected");
    // Sooner or later the server has no room for replies, reads no more, and ends it; until then it takes queries.
    let queries: Vec<u8> = (0..1000).flat_map(|_| query()).collect();
    while deaf.write_all(&queries).await.is_ok() {}
    let mut counts = DnsCounts::new();
    counts.add_cell(&answerer.cell);
    assert!(counts.replies() > 0);
    all_places_given_back(&answerer).await;
}
