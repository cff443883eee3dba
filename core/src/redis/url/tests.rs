use super::{Access, Target, Topology};
use crate::error::Code;

type Login<'a> = (Option<&'a str>, Option<&'a str>);

fn login(access: &Access) -> Login<'_> {
    (access.user.as_deref(), access.password.as_deref())
}

#[test]
fn one_server() {
    let nobody: Login<'_> = (None, None);
    for (url, name, database, tls, who) in [
        ("redis://localhost", "localhost:6379", 0, false, nobody),
        ("redis://", "localhost:6379", 0, false, nobody),
        ("redis://h:7000/3", "h:7000", 3, false, nobody),
        ("redis://h?db=3", "h:6379", 3, false, nobody),
        ("redis://h/3?db=3", "h:6379", 3, false, nobody),
        ("redis://h/", "h:6379", 0, false, nobody),
        ("valkey://:p%40ss%3A@h", "h:6379", 0, false, (None, Some("p@ss:"))),
        ("valkeys://h", "h:6379", 0, true, nobody),
        ("REDISS://me:p@[::1]:1", "[::1]:1", 0, true, (Some("me"), Some("p"))),
        ("redis://me:a@b@h/0", "h:6379", 0, false, (Some("me"), Some("a@b"))),
        ("redis://:a,b@h", "h:6379", 0, false, (None, Some("a,b"))),
        ("redis://:a%2Cb%2Fc%3F%23@h", "h:6379", 0, false, (None, Some("a,b/c?#"))),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock", 2, false, nobody),
        ("unix://:p@/run/a%20b", "unix:///run/a b", 0, false, (None, Some("p"))),
    ] {
        let Target { access, topology } = Target::parse(url, "url").unwrap();
        assert_eq!(topology, Topology::Single, "{url}");
        assert_eq!((access.name().as_str(), access.database, access.tls), (name, database, tls), "{url}");
        assert_eq!(login(&access), who, "{url}");
    }
}

#[test]
fn sentinels() {
    let url = "redis+sentinel://me:p%2F@a,b:1,[::1]/my%20service/2?sentinelUser=s&sentinelPassword=q%26";
    let Target { access, topology } = Target::parse(url, "url").unwrap();
    assert_eq!((login(&access), access.database, access.tls), ((Some("me"), Some("p/")), 2, false));
    let Topology::Sentinel { sentinels, service } = topology else { panic!() };
    let names: Vec<_> = sentinels.iter().map(Access::name).collect();
    assert_eq!((names.join(" ").as_str(), service.as_str()), ("a:26379 b:1 [::1]:26379", "my service"));
    assert!(sentinels.iter().all(|place| login(place) == (Some("s"), Some("q&")) && place.database == 0));
    let Target { access, topology } = Target::parse("rediss-sentinel://a/s?db=4", "url").unwrap();
    let Topology::Sentinel { sentinels, .. } = topology else { panic!() };
    assert_eq!((access.database, access.tls, sentinels[0].tls), (4, true, true));
}

#[test]
fn clusters() {
    for (url, names, tls) in [
        ("redis-cluster://a,b:7001", "a:6379 b:7001", false),
        ("redis-cluster://a", "a:6379", false),
        ("rediss-cluster://a/0", "a:6379", true),
        ("redis://me:p@a,redis://me:p@b:7", "a:6379 b:7", false),
        ("rediss://[::1]:7,rediss://[::1]:8/", "[::1]:7 [::1]:8", true),
        ("redis://:x,y@a,valkey://:x,y@b", "a:6379 b:6379", false),
    ] {
        let Target { access, topology } = Target::parse(url, "url").unwrap();
        let Topology::Cluster { seeds } = topology else { panic!("{url}") };
        assert_eq!(seeds.iter().map(Access::name).collect::<Vec<_>>().join(" "), names, "{url}");
        assert_eq!((access.tls, &seeds[0]), (tls, &access), "{url}");
    }
}

#[test]
fn what_can_not_be_used_is_told_without_its_secrets() {
    for (url, why) in [
        ("secret", "no scheme"),
        ("http://secret@h", "scheme"),
        ("redis://h:0", "port"),
        ("redis://h:secret", "port"),
        ("redis://h:+1", "port"),
        ("redis://h:70000", "port"),
        ("redis://h/secret", "database"),
        ("redis://h/-1", "database"),
        ("redis://h/1/2", "too many parts"),
        ("redis://h/1?db=2", "two databases"),
        ("redis://a:%zzsecret@h", "%"),
        ("redis://secret@h", "without a password"),
        ("redis://:pass#secret@h", "%23"),
        ("redis://h?timeout=5", "parameter timeout"),
        ("redis://h?db=1&sentinelPassword=secret", "parameter sentinelPassword"),
        ("redis://h?%73ecret", "a parameter"),
        ("redis://[::1", "no end"),
        ("redis://[secret]", "no IPv6"),
        ("redis://[::1]secret", "follows"),
        ("redis://a b", "host"),
        ("redis://a,b", "redis-cluster://"),
        ("redis://:secret@a,unix:///x", "make a list"),
        ("redis://:secret@a,redis://b", "differ"),
        ("redis://a/1,redis://b/1", "database but 0"),
        ("redis-cluster://a/1", "database but 0"),
        ("redis-cluster://a?db=0", "parameter db"),
        ("redis+sentinel://:secret@h", "no service"),
        ("redis+sentinel://h/s?sentinelUser=secret", "sentinelPassword"),
        ("unix://h/x", "no socket"),
        ("unix://", "no socket"),
    ] {
        let error = Target::parse(url, "REDIS_URL").unwrap_err();
        assert_eq!(error.code, Code::Config, "{url}");
        assert!(error.message.starts_with("REDIS_URL can't be used: "), "{error}");
        assert!(error.message.contains(why), "{url}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let target = Target::parse("redis+sentinel://me:secret@h/s?sentinelPassword=secret", "url").unwrap();
    assert!(!format!("{target:?}").contains("secret"), "{target:?}");
}
