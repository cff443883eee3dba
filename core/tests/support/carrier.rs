//! Carries a net's bytes over plain sockets of a thread, as a face does over its event loop's.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use flowkeep_core::clock::SystemClock;
use flowkeep_core::id::RandomIds;
use flowkeep_core::redis::{Errand, Net, Output, Target};
use flowkeep_core::timer::Timers;

/// Ends with its thread.
pub struct Carrier {
    pub net: Arc<Net>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Carrier {
    pub fn new(url: &str) -> Self {
        let timers = Timers::new(Arc::new(SystemClock));
        let target = Target::parse(url, "url").unwrap();
        let ids = Arc::new(RandomIds::default());
        let net = Arc::new(Net::new(target, Arc::new(SystemClock), ids, Arc::clone(&timers)));
        let ended = Arc::new(AtomicBool::new(false));
        let (driven, stop) = (Arc::clone(&net), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            let mut sockets = BTreeMap::new();
            while !stop.load(Ordering::SeqCst) {
                turn(&driven, &mut sockets);
                timers.tick();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { net, ended, thread: Some(thread) }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn turn(net: &Net, sockets: &mut BTreeMap<u32, TcpStream>) {
    for errand in net.tick() {
        match errand {
            Errand::Dial { number, access } => {
                match TcpStream::connect((access.host.as_str(), access.port)) {
                    Ok(socket) => {
                        socket.set_nonblocking(true).unwrap();
                        sockets.insert(number, socket);
                        net.connected(number);
                    }
                    Err(_) => net.disconnected(number, "refused"),
                }
            }
            Errand::Drop { number } => {
                sockets.remove(&number);
                net.disconnected(number, "dropped");
            }
        }
    }
    let mut lost = Vec::new();
    for (number, socket) in &mut *sockets {
        let mut bytes = vec![0; 65_536];
        match socket.read(&mut bytes) {
            Ok(0) => lost.push(*number),
            Ok(len) => _ = net.feed(*number, &bytes[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => lost.push(*number),
        }
        let mut room = vec![0; 4_096];
        let output = match net.output(*number, &mut room) {
            Output::Written(len) => room[..len].to_vec(),
            Output::Whole(bytes) => bytes,
        };
        if !output.is_empty() {
            socket.set_nonblocking(false).unwrap();
            if socket.write_all(&output).is_err() {
                lost.push(*number);
            }
            socket.set_nonblocking(true).unwrap();
        }
    }
    for number in lost {
        sockets.remove(&number);
        net.disconnected(number, "lost");
    }
}
