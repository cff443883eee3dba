use super::{Map, Redirection, key_of, slot_of};
use crate::redis::resp::{self, Requests};

#[test]
fn slots_of_keys() {
    // From the specification of the Cluster, and from `CLUSTER KEYSLOT`.
    for (key, slot) in [
        ("123456789", 12_739),
        ("{user1000}.following", 3_443),
        ("{user1000}.followers", 3_443),
        ("foo{}{bar}", 8_363),
        ("foo{{bar}}zap", 4_015),
        ("foo{bar}{zap}", 5_061),
        ("", 0),
    ] {
        assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
    }
}

#[test]
fn keys_of_requests() {
    let of = |all: &[&[&str]]| {
        let mut requests = Requests::default();
        for parts in all {
            requests.request(&parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>());
        }
        key_of(&requests.bytes).map(|key| String::from_utf8(key.to_vec()).unwrap())
    };
    let expected = Some("k".to_owned());
    assert_eq!(of(&[&["HGET", "k", "f"]]), expected);
    assert_eq!(of(&[&["MULTI"], &["HSET", "k", "f", "v"], &["EXEC"]]), expected);
    assert_eq!(of(&[&["EVALSHA", "sha", "2", "k", "l", "1"]]), expected);
    assert_eq!(of(&[&["XREAD", "COUNT", "1", "BLOCK", "5", "STREAMS", "k", "0-0"]]), expected);
    assert_eq!(of(&[&["BLMOVE", "k", "k", "LEFT", "LEFT", "1"]]), expected);
    let mut long = vec!["HSET", "k"];
    long.extend(["x"; 1_000]);
    assert_eq!(of(&[&long]), expected);
    assert_eq!(of(&[&["PING"]]), None);
    assert_eq!(key_of(b"HGET k\r\n"), None);
}

fn map(text: &str) -> Option<Map> {
    let (value, _) = resp::read(text.as_bytes()).unwrap().unwrap();
    Map::read(&value, "asked")
}

/// One range of `CLUSTER SLOTS`.
fn range(from: usize, to: usize, host: &str, port: u16) -> String {
    let host = if host == "-" { "$-1\r\n".to_owned() } else { format!("${}\r\n{host}\r\n", host.len()) };
    format!("*3\r\n:{from}\r\n:{to}\r\n*3\r\n{host}:{port}\r\n$1\r\ni\r\n")
}

#[test]
fn the_map_of_slots() {
    let text =
        format!("*3\r\n{}{}{}", range(0, 99, "a", 1), range(100, 200, "", 2), range(300, 16_383, "a", 1));
    let mut map = map(&text).unwrap();
    let place = |host: &str, port| (host.to_owned(), port);
    assert_eq!(map.owner(0), Some(&place("a", 1)));
    assert_eq!(map.owner(150), Some(&place("asked", 2)));
    assert_eq!(map.owner(250), None, "nobody has it");
    assert_eq!(map.owner(16_383), Some(&place("a", 1)));
    assert_eq!(map.owners(), [&place("a", 1), &place("asked", 2)]);
    map.moved(150, place("b", 3));
    assert_eq!(map.owner(150), Some(&place("b", 3)));
    assert_eq!(map.owner(151), Some(&place("asked", 2)));
    for slot in 100..=200 {
        map.moved(slot, place("b", 3));
    }
    assert_eq!(map.owners(), [&place("a", 1), &place("b", 3)], "who has nothing is no owner");
}

#[test]
fn what_is_no_map_is_none() {
    for text in ["*0\r\n", "+OK\r\n", "*1\r\n*0\r\n", &format!("*1\r\n{}", range(0, 16_384, "a", 1))] {
        assert_eq!(map(text), None, "{text}");
    }
    assert!(
        map(&format!("*1\r\n{}", range(0, 1, "-", 1))).is_some_and(|map| map.owner(0).unwrap().0 == "asked")
    );
}

#[test]
fn redirections() {
    let read = |text| Redirection::read(text).map(|to| (to.once, to.slot, to.place.0, to.place.1));
    assert_eq!(read("MOVED 3999 127.0.0.1:6381"), Some((false, 3_999, "127.0.0.1".into(), 6_381)));
    assert_eq!(read("ASK 1 ::1:7000"), Some((true, 1, "::1".into(), 7_000)));
    assert_eq!(read("MOVED 1 :7000"), Some((false, 1, String::new(), 7_000)));
    for text in ["MOVED", "MOVED x a:1", "MOVED 16384 a:1", "ASK 1 a", "ASK 1 a:x", "ERR MOVED 1 a:1"] {
        assert_eq!(read(text), None, "{text}");
    }
}
