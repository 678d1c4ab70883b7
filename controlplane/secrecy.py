"""What is a secret: by its name (a variable, an option, a flag), or by its form (a password in a URL, a PEM block).

Pure and linear in the length of the text: clients send it. What it cannot know is a secret without a telling name or
form; a spec marks such a variable by `secret_env`, or refers to it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MASK = "********"

_ANYWHERE = re.compile(
    r"PASSW(?:OR)?D|PASSPHRASE|PASSCODE|SECRET|TOKEN(?!IZ)|CREDENTIAL|KUBECONFIG|WEBHOOK|PRIVATE|COOKIE|BEARER"
    r"|AUTHORI[SZ]ATION|CONN(?:ECTION)?[-_.]?STR(?:ING)?",
    re.I,
)
_LETTERS = re.compile(r"[A-Za-z]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_WORDS = frozenset({"CRED", "HMAC", "OTP", "PAT", "PEM", "PSK", "SALT", "TOTP"})
_ENDINGS = ("AUTH", "CREDS", "DSN", "JWT", "KEY", "KEYS", "PASS", "PW", "PWD")
_INNOCENT = re.compile(r"(?:MON|TUR|DON|HOC|JOC|WHIS)KEYS?|(?:COM|BY|TRES|OVER|UNDER|SUR)PASS")

_USERINFO = re.compile(
    r"(?<=://)(?P<user>[^\s/?#@:\"'<>]{0,256}:)"
    # The password ends at the last @ of the authority. One with an unescaped slash ends at the last @ at all.
    r"(?:[^\s/?#\"'<>]{1,256}(?=@)|(?!\d{1,5}(?:[/?#\s\"'<>]|$))[^\s\"'<>]{1,64}(?=@))"
)
_ONLY_USER = re.compile(r"(?<=http://)[^\s/?#@:\"'<>*]{1,256}(?=@)|(?<=https://)[^\s/?#@:\"'<>*]{1,256}(?=@)")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{1,64}-----.*?(?:-----END [A-Z0-9 ]{1,64}-----|\Z)", re.S)
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]+)*", re.A)
_ISSUED = re.compile(
    r"(?<![\w-])(?:gh[oprsu]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|sk_live_\w{10,}|sk-[\w-]{20,}"
    # AWS: the id of a key, and the key itself where it follows.
    r"|A[KS]IA[A-Z0-9]{16}(?![\w])(?:[\s:,/]{1,4}[A-Za-z0-9+/]{40}(?![\w+/=]))?)",
    re.A,
)
"""Tokens whose issuers have marked them."""
_ISSUERS = ("gh", "github_pat_", "glpat-", "xox", "sk_live_", "sk-", "AKIA", "ASIA")
"""Each of those has one of these in it."""
_HEADER = re.compile(
    r"(?P<head>\bauthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:(?:bearer|basic|digest|negotiate|token|aws4-hmac-sha256)\s{1,4})?"
    r"|\b(?:bearer|basic)\s{1,4}(?=[\w.~+/=-]{16}))[^\s\"']+",
    re.I,
)
_HEADERS = ("authorization", "bearer", "basic")
"""Each of those has one of these in it, in either case."""

_PAIR = re.compile(r"(?:(?<=[;?&])\s{0,2}|\A(?=[^;]{1,4096};))(?P<name>[A-Za-z][\w .-]{0,63}?)\s{0,2}=\s{0,2}", re.A)
"""Begins a pair of a connection string (`Server=db;Password=…`), as .NET, ODBC and Azure write them, or of the query of
a URL (`jdbc:postgresql://db/x?user=u&password=…`)."""
_TO_ITS_END = re.compile(r"\"[^\"]*\"?|'[^']*'?|[^\s\"']+")
"""The value of such a pair. It may hold what parts pairs, so it ends with the word."""

_VALUE = r"(?:\"(?:[^\"\\]|\\.)*\"?|'[^']*'?|[^\s'\"])+"
_ASSIGNED = re.compile(
    rf"(?<![\w.-])(?P<head>-*(?P<name>[A-Za-z_][\w.-]*)[\"']?\s{{0,2}}(?:=|:(?=[\s\"']))\s{{0,4}})(?P<value>{_VALUE})",
    re.A | re.S,
)
_FLAGGED = re.compile(
    rf"(?<![\w.-])(?P<head>--?(?P<name>[A-Za-z][\w.-]*)\s{{1,8}})(?!--|-[A-Za-z](?:\s|$))(?P<value>{_VALUE})",
    re.A | re.S,
)

_USER_OPTION = r"-[#0-9BGIJLMNORSZafgijklnpqsv]{0,8}[uU]"
"""`-u` and `-U` of curl, also behind its other letters that take no value: `-su`."""


@dataclass(frozen=True, slots=True)
class _Taker:
    """A program that takes a secret in an option whose name says nothing. `program`: its name; `separate`: the option
    whose value is the next word; `attached`: the option whose value follows in the same word; `paired`: the value is
    secret only if it is `user:password`."""

    program: re.Pattern[str]
    separate: re.Pattern[str]
    attached: re.Pattern[str]
    line: re.Pattern[str]
    paired: bool

    @classmethod
    def of(cls, program: str, separate: str, attached: str, *, paired: bool = False) -> "_Taker":
        pair = r"(?=[\"']?[^\s:\"']{0,64}:)" if paired else ""
        head = rf"(?:(?:{separate})\s{{1,4}}|(?:{attached}))"
        return cls(
            re.compile(rf"(?<![\w.-]){program}(?![\w.-])", re.A),
            re.compile(separate, re.A),
            re.compile(attached, re.A),
            re.compile(rf"(?<![\w.-])(?P<head>{head}){pair}{_VALUE}", re.A | re.S),
            paired,
        )

    def hide(self, text: str) -> str:
        """A line, with stars for what such an option is given after the program's name."""
        called = self.program.search(text)
        if called is None:
            return text
        return text[: called.end()] + self.line.sub(rf"\g<head>{MASK}", text[called.end() :])

    def is_called(self, word: str) -> bool:
        return self.program.fullmatch(word.rpartition("/")[2]) is not None

    def is_secret(self, value: str) -> bool:
        return value != "" and (":" in value or not self.paired)


_TAKERS = (
    _Taker.of("curl", rf"{_USER_OPTION}|--(?:proxy-)?user", rf"{_USER_OPTION}|--(?:proxy-)?user=", paired=True),
    _Taker.of(r"(?:mysql|mariadb)(?:-?(?:admin|binlog|check|dump|import|show|slap))?", r"(?!)", "-p"),
    _Taker.of("redis-cli", "-a", r"(?!)"),
)

_WORD = re.compile(r"(?P<head>-{0,2}(?P<name>[A-Za-z_][\w.-]*)=)(?P<value>.+)", re.A | re.S)
_FLAG = re.compile(r"--?(?P<name>[A-Za-z][\w.-]*)", re.A)
_PLAIN = re.compile(r"[^\s=@\"']{0,13}")
"""Texts that no rule here changes: each needs one of these characters, or a longer text."""
_KEPT_LENGTH = 64
"""Longest name whose answer is kept: the same few names come again and again."""
_KEPT_COMMAND = 512
"""Longest command, in characters, whose answer is kept: many tenants have the same one."""
_NEXT_FLAG = re.compile(r"--|-[A-Za-z]$")


def looks_secret(name: str) -> bool:
    """Whether something of this name is a secret: DB_PASSWORD, apiKey, requirepass; not MONKEY, not AUTHOR."""
    return _looks_secret(name) if len(name) <= _KEPT_LENGTH else _looks_secret.__wrapped__(name)


@lru_cache(maxsize=4096)
def _looks_secret(name: str) -> bool:
    if _ANYWHERE.search(name) is not None:
        return True
    words = {word.upper() for split in (_LETTERS, _CAMEL) for word in split.findall(name)}
    return any(word in _WORDS or (word.endswith(_ENDINGS) and _INNOCENT.fullmatch(word) is None) for word in words)


def hide(text: str) -> str:
    """A text from anywhere with stars for what its form gives away: passwords in URLs, PEM blocks, JSON Web Tokens,
    `Authorization` headers, tokens with an issuer's mark, secret names in connection strings and queries of URLs."""
    return _hide_pairs(_hide_marked(text))


def _hide_marked(text: str) -> str:
    if "-----BEGIN" in text:
        text = _PEM.sub(MASK, text)
    if "@" in text and "://" in text:
        text = _ONLY_USER.sub(MASK, _USERINFO.sub(rf"\g<user>{MASK}", text))
    # Most texts hold none of these words: to look for them takes a tenth of trying the rules.
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    if any(map(text.__contains__, _ISSUERS)):
        text = _ISSUED.sub(MASK, text)
    if not text.isascii() or any(map(text.lower().__contains__, _HEADERS)):
        text = _HEADER.sub(rf"\g<head>{MASK}", text)
    return text


def hide_line(text: str) -> str:
    """`hide`, and for a command line or the like: stars for what secret names are given (`--password=…`, `--token …`,
    `DB_PASSWORD=…`, `"password": "…"`)."""
    if _PLAIN.fullmatch(text) is not None:
        return text
    # Pairs come last: a secret that holds one is hidden as a whole before.
    return _hide_pairs(_FLAGGED.sub(_starred, _ASSIGNED.sub(_starred, _hide_taken(_hide_marked(text)))))


def _hide_taken(text: str) -> str:
    for taker in _TAKERS:
        text = taker.hide(text)
    return text


def hide_words(words: Sequence[str]) -> list[str]:
    """The same for the arguments of a command."""
    return list(_hide_words(tuple(words)) if sum(map(len, words)) <= _KEPT_COMMAND else _hidden_words(words))


@lru_cache(maxsize=1024)
def _hide_words(words: tuple[str, ...]) -> list[str]:
    return _hidden_words(words)


def _hidden_words(words: Sequence[str]) -> list[str]:
    shown: list[str] = []
    expected = False
    for word in _without_taken(words):
        if expected and _NEXT_FLAG.match(word) is None:
            shown.append(MASK if word else word)
            expected = False
            continue
        whole = _WORD.fullmatch(word)
        shown.append(_starred(whole) if whole is not None and looks_secret(whole["name"]) else hide_line(word))
        flag = _FLAG.fullmatch(word)
        expected = flag is not None and looks_secret(flag["name"])
    return shown


def _without_taken(words: Sequence[str]) -> list[str]:
    """The words, with stars for what such programs are given."""
    found = list(words)
    for taker in _TAKERS:
        calls = (index for index, word in enumerate(words) if taker.is_called(word))
        for index in range(next(calls, len(words)) + 1, len(words)):
            if taker.separate.fullmatch(words[index - 1]) is not None and taker.is_secret(words[index]):
                found[index] = MASK
            elif (option := taker.attached.match(words[index])) and taker.is_secret(words[index][option.end() :]):
                found[index] = option[0] + MASK
    return found


def _hide_pairs(text: str) -> str:
    if "=" not in text:
        return text
    shown, at = [], 0
    for pair in _PAIR.finditer(text):
        if pair.start() < at or not looks_secret(pair["name"]):
            continue
        if (value := _TO_ITS_END.match(text, pair.end())) is not None:
            shown += [text[at : pair.end()], value[0] if MASK in value[0] else MASK]
            at = value.end()
    return "".join([*shown, text[at:]])


def _starred(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    if name.lower() == "authorization" or MASK in value or not looks_secret(name):
        return found[0]
    return f"{found['head']}{MASK}"
