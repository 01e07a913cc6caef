use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::config::secret::SecretRef;
use crate::record::Durability;

fn read(text: &str) -> Result<StoreAddress, Vec<String>> {
    let text = format!("store = {text}");
    Config::parse(&text, Path::new("host.toml"), Path::new("/srv"), 1)
        .map(|config| config.store)
        .map_err(|error| error.problems.iter().map(ToString::to_string).collect())
}

fn server(text: &str) -> RedisAddress {
    match read(text) {
        Ok(StoreAddress::Redis(server)) => server,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_url_says_where_the_server_is() {
    for (url, shown, username, tls) in [
        ("redis://h", "redis://h:6379/0", None, false),
        ("redis://h/", "redis://h:6379/0", None, false),
        ("redis://10.0.0.7:7000/3", "redis://10.0.0.7:7000/3", None, false),
        ("redis://ann@h/1", "redis://h:6379/1", Some("ann"), false),
        ("rediss://[2001:db8::1]", "rediss://[2001:db8::1]:6379/0", None, true),
        ("rediss://ann@[::1]:1/2", "rediss://[::1]:1/2", Some("ann"), true),
    ] {
        let server = server(&format!("'{url}'"));
        assert_eq!(server.shown(), shown, "{url}");
        assert_eq!(server.username.as_deref(), username, "{url}");
        assert_eq!(server.tls.is_some(), tls, "{url}");
    }
    assert_eq!(server("'rediss://[2001:db8::1]'").host, "2001:db8::1");
}

#[test]
fn the_defaults_are_one_fleet_whose_hosts_may_be_silent_for_ten_seconds() {
    let expected = RedisAddress {
        host: "h".to_owned(),
        port: 6379,
        tls: None,
        db: 0,
        username: None,
        password: None,
        ttl: Duration::from_secs(10),
        prefix: "camp".to_owned(),
        durability: None,
        allow_volatile: false,
    };
    assert_eq!(server("'redis://h:6379/0'"), expected);
    assert_eq!(server("{ url = 'redis://h' }"), expected);
}

#[test]
fn a_table_says_the_rest() {
    let all = server(
        "{ url = 'rediss://h:6380/2', username = 'ann', password = { file = 'pw' }, \
         ca_file = 'ca.pem', durability = 'process', ttl = '3s', prefix = 'camp-2.x_y' }",
    );
    let expected = RedisAddress {
        host: "h".to_owned(),
        port: 6380,
        tls: Some(TlsFiles { ca_file: Some(PathBuf::from("/srv/ca.pem")) }),
        db: 2,
        username: Some("ann".to_owned()),
        password: Some(SecretRef::File(PathBuf::from("/srv/pw"))),
        ttl: Duration::from_secs(3),
        prefix: "camp-2.x_y".to_owned(),
        durability: Some(Durability::Process),
        allow_volatile: false,
    };
    assert_eq!(all, expected);
    let other = server("{ url = 'redis://h', password = { env = 'PW' }, allow_volatile = true }");
    assert_eq!(other.password, Some(SecretRef::Env("PW".to_owned())));
    assert!(other.allow_volatile);
}

#[test]
fn each_wrong_key_is_named_with_what_would_be_right() {
    for (text, problem) in [
        (
            "'redis:h'",
            "store: must be like `redis://host:6379/0`, or `rediss://` with TLS; the host is missing",
        ),
        (
            "'redis://'",
            "store: must be like `redis://host:6379/0`, or `rediss://` with TLS; the host is missing",
        ),
        (
            "'redis://h:x'",
            "store: must be like `redis://host:6379/0`, or `rediss://` with TLS (invalid port number)",
        ),
        ("'redis://h:0'", "store: port 0 can't be connected to"),
        (
            "'redis://h/one'",
            "store: must be like `redis://host:6379/0`, or `rediss://` with TLS; after the host stands a database's number",
        ),
        (
            "'redis://h/-1'",
            "store: must be like `redis://host:6379/0`, or `rediss://` with TLS; after the host stands a database's number",
        ),
        (
            "'redis://h?protocol=resp3'",
            "store: must be like `redis://host:6379/0`, or `rediss://` with TLS; options are keys of a table beside `url`",
        ),
        (
            "'redis://a%40b@h'",
            "store: write a user name of other than plain characters as `username` in a table",
        ),
        ("'redi://h'", "store: unknown store `redi:`; did you mean `redis:`?"),
        ("'postgres://h/x'", "store: `postgres:` is not built yet; leave it out"),
        ("'redis+cluster://h'", "store: `redis+cluster:` is not built yet; leave it out"),
        (
            "{ url = 'redis://ann@h', username = 'bob' }",
            "store.username: a user stands in `url` already",
        ),
        (
            "{ url = 'redis://h', ca_file = 'ca.pem' }",
            "store.ca_file: is for `rediss://` alone: `url` has no TLS",
        ),
        (
            "{ url = 'redis://h', durability = 'disk' }",
            "store.durability: must be `power` or `process`, not `disk`",
        ),
        (
            "{ url = 'redis://h', durability = 'power', allow_volatile = true }",
            "store.allow_volatile: contradicts `durability`: leave one of the two out",
        ),
        ("{ url = 'redis://h', ttl = '900ms' }", "store.ttl: must be from 1s to 5m, not `900ms`"),
        ("{ url = 'redis://h', ttl = '6m' }", "store.ttl: must be from 1s to 5m, not `6m`"),
        (
            "{ url = 'redis://h', prefix = '{x}' }",
            "store.prefix: must be letters, digits, `.`, `_`, `-`, at most 64 of them, not `{x}`",
        ),
        (
            "{ url = 'memory:', allow_volatile = true }",
            "store.allow_volatile: is for a store that hosts share, not for `memory:`",
        ),
        (
            "{ url = 'redis://h', password = {} }",
            "store.password: must name either `env` or `file`",
        ),
        (
            "{ url = 'redis://h', password = { env = 'A', file = 'b' } }",
            "store.password: must name either `env` or `file`",
        ),
    ] {
        assert_eq!(read(text), Err(vec![problem.to_owned()]), "{text}");
    }
}

#[test]
fn all_problems_are_listed_at_once_whatever_the_url_is() {
    let problems =
        read("{ url = 'redis://h:0', ttl = '0s', prefix = '', durability = 'no', x = 1 }");
    let paths: Vec<String> = problems
        .unwrap_err()
        .iter()
        .map(|line| line.split(':').next().unwrap_or_default().to_owned())
        .collect();
    let expected = ["store.x", "store.url", "store.ttl", "store.prefix", "store.durability"];
    assert_eq!(paths, expected);
}

#[test]
fn no_message_and_no_value_shows_a_password() {
    for text in [
        "'redis://:hunter2@h/0'",
        "'rediss://ann:hunter2@h/0'",
        "'redis://ann:hunter2@h:x/0'",
        "'redis://:hunter2@/0'",
        "'redis+sentinel://:hunter2@h'",
        "'rdis://:hunter2@h'",
        "{ url = 'redis://h', password = 'hunter2' }",
        "{ url = 'redis://h', password = { value = 'hunter2' } }",
        "{ url = 'redis://h', password = { env = 'hunter2=' } }",
        "{ url = 'redis://h', password = { env = ['hunter2'] } }",
    ] {
        let problems = read(text).unwrap_err();
        assert!(!problems.join("\n").contains("hunter2"), "{problems:?}");
    }
    assert_eq!(
        read("'redis://:hunter2@h'").unwrap_err(),
        [
            "store: a password must not stand in the URL, which is logged: use a table `{ url = \"...\", password = { env = \"NAME\" } }` or `{ file = \"PATH\" }`"
        ]
    );
}
