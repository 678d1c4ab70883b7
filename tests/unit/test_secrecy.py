"""What is a secret by its name, and by its form."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.secrecy import (
    _ASSIGNED,
    _FLAGGED,
    _HEADER,
    _ISSUED,
    _JWT,
    MASK,
    _hide_pairs,
    _starred,
    hide,
    hide_line,
    hide_words,
    looks_secret,
)
from controlplane.text import clean

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nq83jf\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "name",
    [
        *("DB_PASSWORD", "secret", "apiKey", "apikey", "GITHUB_TOKEN", "AWS_CREDENTIALS", "SENTRY_DSN", "PGPASSWORD"),
        *("DB_PWD", "MYSQL_PWD", "SMTP_PASS", "DB_PW", "JWT", "COOKIE_SALT", "WEBHOOK_URL", "CERT_PEM", "KUBECONFIG"),
        *("SMTP_CREDS", "SMTP_CRED", "SESSION_COOKIE", "requirepass", "splunk-token", "AUTH", "BASIC_AUTH", "oauth"),
        *("connectionString", "DB_CONN_STR", "sslKey", "PRIVATE", "APIKeys", "Authorization", "x-api-key", "GH_PAT"),
        *("MONKEY_KEY", "SIGNING_HMAC", "DBPASSWORD1", "key"),
    ],
)
def test_names_that_look_secret(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("COLOR", "PORT", "LOG_LEVEL", "AUTHOR", "MONKEY", "MONKEYS", "TURKEY", "COMPASS", "BYPASS_CACHE", "PATH"),
        *(
            "KEYSPACE",
            "KEYBOARD",
            "PASSIVE",
            "BASALT",
            "TEMPEMIT",
            "DATABASE_URL",
            "TOKENIZERS_PARALLELISM",
            "hostname",
        ),
    ],
)
def test_names_that_do_not(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://u:s3cr3t@db:5432/x", f"postgres://u:{MASK}@db:5432/x"),
        ("redis://:s3cr3t@r/0", f"redis://:{MASK}@r/0"),
        ("amqps://u:s3@cr3t@mq", f"amqps://u:{MASK}@mq"),
        ("postgres://u:s3/cr3t@db/x", f"postgres://u:{MASK}@db/x"),
        ("a=1 mongodb+srv://u:s3cr3t@m b", f"a=1 mongodb+srv://u:{MASK}@m b"),
        ("https://s3cr3ttoken@git.example.com/x.git", f"https://{MASK}@git.example.com/x.git"),
        (f"token is {JWT}.", f"token is {MASK}."),
        (f"the key: {PEM} ends", f"the key: {MASK} ends"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", MASK),
        ("Authorization: Bearer s3cr3t", f"Authorization: Bearer {MASK}"),
        ('{"authorization": "Basic czNjcjN0"}', f'{{"authorization": "Basic {MASK}"}}'),
        ("sent bearer abcdefghijklmnop1234", f"sent bearer {MASK}"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", MASK),
        ("denied to ASIAIOSFODNN7EXAMPLE.", f"denied to {MASK}."),
        ("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY x", f"{MASK} x"),
        ("Server=db;User Id=sa;Password=s3&cr3t;App=x", f"Server=db;User Id=sa;Password={MASK}"),
        ("Driver=x; Uid=sa; Pwd='s3;cr3t'; Port=1", f"Driver=x; Uid=sa; Pwd={MASK}; Port=1"),
        ("A=https;AccountKey=czNjcjN0==;E=windows.net", f"A=https;AccountKey={MASK}"),
        ("jdbc:postgresql://db/x?user=u&password=s3cr3t&ssl=1", f"jdbc:postgresql://db/x?user=u&password={MASK}"),
        ("GET /x?access_token=s3cr3t#a failed", f"GET /x?access_token={MASK} failed"),
    ],
)
def test_a_form_gives_a_secret_away(text: str, shown: str) -> None:
    assert hide(text) == shown
    assert hide(shown) == shown
    assert clean(f"it said {text}") == f"it said {' '.join(shown.split())}"


@pytest.mark.parametrize(
    "text",
    [
        *("http://db:5432/x", "http://127.0.0.1:80/a@b", "http://h:80?to=a@b.example", "ssh://git@github.com/x.git"),
        *("mail me@example.com", "basic configuration of it", "the bearer of news", "eyJust a word", "sk-1", "10:20"),
        *("http://h/x?page=2&limit=5", "Server=db;Port=5432;Encrypt=true", "a;b=c", "monkey=1;turkey=2", "x?&=&"),
        *("AKIA", "AKIAIOSFODNN7EXAMPLEANDMORE", "MYAKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_what_gives_nothing_away_is_left_alone(text: str) -> None:
    assert hide(text) == text


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["redis-server", "--requirepass", "x", "--port", "1"], ["redis-server", "--requirepass", MASK, "--port", "1"]),
        (["app", "--password=a b;c"], ["app", f"--password={MASK}"]),
        (["app", "-Dkey.store.password=x", "-v"], ["app", f"-Dkey.store.password={MASK}", "-v"]),
        (["env", "DB_PASSWORD=x", "COLOR=blue", "app"], ["env", f"DB_PASSWORD={MASK}", "COLOR=blue", "app"]),
        (["sh", "-c", "mysql --password=x -e 1"], ["sh", "-c", f"mysql --password={MASK} -e 1"]),
        (["sh", "-c", "app --api-key 'a b' run"], ["sh", "-c", f"app --api-key {MASK} run"]),
        (["sh", "-c", 'curl -H "X-Api-Key: abc"'], ["sh", "-c", f'curl -H "X-Api-Key: {MASK}']),
        (["app", "--use-token", "--port", "80"], ["app", "--use-token", "--port", "80"]),
        (["app", "https://h/x?token=abc"], ["app", f"https://h/x?token={MASK}"]),
        (["app", '{"password":"x"}'], ["app", f'{{"password":{MASK}']),
        (["curl", "-u", "app:s3cr3t", "http://h"], ["curl", "-u", MASK, "http://h"]),
        (["/usr/bin/curl", "-sSu", "app:s3cr3t"], ["/usr/bin/curl", "-sSu", MASK]),
        (["curl", "-uapp:s3cr3t", "--proxy-user=p:x"], ["curl", f"-u{MASK}", f"--proxy-user={MASK}"]),
        (["sh", "-c", "curl -fs http://h -u 'app:s3 r3t' ; x"], ["sh", "-c", f"curl -fs http://h -u {MASK} ; x"]),
        (["mysqladmin", "ping", "-uroot", "-ps3cr3t"], ["mysqladmin", "ping", "-uroot", f"-p{MASK}"]),
        (["sh", "-c", "exec mysql -ps3cr3t -e 1"], ["sh", "-c", f"exec mysql -p{MASK} -e 1"]),
        (["redis-cli", "-a", "s3cr3t", "ping"], ["redis-cli", "-a", MASK, "ping"]),
        (["docker", "run", "-p8080:80", "-u", "1:1"], ["docker", "run", "-p8080:80", "-u", "1:1"]),
        (["curl", "-u", "app", "-o", "/x:y"], ["curl", "-u", "app", "-o", "/x:y"]),
        (["mysql", "-p", "shop"], ["mysql", "-p", "shop"]),
    ],
)
def test_arguments(words: list[str], shown: list[str]) -> None:
    assert hide_words(words) == shown
    assert hide_words(shown) == shown


def test_a_line_that_is_split_by_the_platform() -> None:
    assert hide_line("redis-server --requirepass a;b --port 1") == f"redis-server --requirepass {MASK} --port 1"
    assert hide_line('--password="unclosed') == f"--password={MASK}"


@pytest.mark.parametrize(
    "text",
    [
        *("a://b:" * 40_000, "http://" * 30_000 + "@", "eyJ" * 80_000, "eyJ-" * 60_000, "-----BEGIN A-----" * 14_000),
        *("a" * 240_000, "-" * 240_000, "--a " * 60_000, 'password="' * 24_000, "authorization:" * 17_000),
        *("bearer " * 34_000, "a.b-c_" * 40_000, "://x:y@" * 34_000, "key=" * 60_000, "A" * 240_000),
        *("?a" * 120_000, ";a b " * 48_000, "&key =" * 40_000, "a=b;" * 60_000),
        *("curl " + "-u a" * 60_000, "curl -u " * 30_000, "curl " + "-u '" * 60_000, "mysql -p" * 30_000),
        *("AKIA" * 60_000, "AKIAIOSFODNN7EXAMPLE:" * 11_000),
    ],
    ids=lambda text: text[:12],
)
def test_the_work_grows_with_the_text_and_not_faster(text: str) -> None:
    def seconds(of: str) -> float:
        begun = time.process_time()
        hide_line(of)
        looks_secret(of)
        return time.process_time() - begun

    # Twice the text costs about twice as much; four times as much would be its square.
    least, most = (min(seconds(part) for _ in range(3)) for part in (text[: len(text) // 4], text))
    assert most < max(0.5, 10 * least)


PIECES = ("-", "p ", "key", "pass=x", "DB_PW", "=", ":", " ", "x", "@", "://", "eyJ", "sk-", '"', "http", "bearer ")


@given(st.lists(st.sampled_from(PIECES), max_size=4).map("".join))
def test_short_texts_are_shown_as_all_the_rules_show_them(text: str) -> None:
    assert hide_line(text) == _FLAGGED.sub(_starred, _ASSIGNED.sub(_starred, hide(text)))


MARKED = (
    *("Authorization: Basic ", "BEARER ", "ba\u017fic ", "abcdefgh12345678ijklmnop", "ghp_", "github_pat_", "glpat-"),
    *("xoxb-", "sk_live_", "sk-", "AKIA", "ASIA", "IOSFODNN7EXAMPLE", "eyJhbGciOi", ".", " ", "=", "\u00e4"),
)


@given(st.lists(st.sampled_from(MARKED), max_size=6).map("".join))
def test_no_rule_is_left_out_that_would_hide_something(text: str) -> None:
    every = _HEADER.sub(rf"\g<head>{MASK}", _ISSUED.sub(MASK, _JWT.sub(MASK, text)))
    assert hide(text) == _hide_pairs(every)
