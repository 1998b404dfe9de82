"""What a client that has failed says becomes one sentence; what it would sign in with is found and not told.

Covers cyclestyle.data.fetching.refusals. What the real client says is in test_client.
"""

from pathlib import Path

import pytest

from cyclestyle.data.fetching.refusals import DISK_FULL, credentials, explain, is_disk_full, last_words

OFFLINE = "Kaggle cannot be reached"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "HTTPSConnectionPool(host='api.kaggle.com', port=443): Max retries exceeded with url: /v1/x (Caused by "
            "NameResolutionError(\"HTTPSConnection(host='api.kaggle.com', port=443): Failed to resolve "
            "'api.kaggle.com' ([Errno -2] Name or service not known)\"))",
            OFFLINE,
        ),
        ("('Connection aborted.', RemoteDisconnected('Remote end closed connection'))", OFFLINE),
        ("IncompleteRead(404 bytes read, 403 more expected)", OFFLINE),
        ("[Errno 28] No space left on device", DISK_FULL),
        ("OSError: [Errno 122] Disk quota exceeded", DISK_FULL),
        (
            "HTTPSConnectionPool(host='api.kaggle.com', port=443): Max retries exceeded with url: /v1/x (Caused by "
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate')))",
            "the connection to Kaggle is not trusted (certificate)",
        ),
        ("503 Server Error: Service Unavailable for url: https://x", "Kaggle cannot answer at the moment (503"),
        ("You must accept this competition's rules before", "the competition's rules are not accepted yet"),
        ("404 Client Error: Not Found for url: https://x/429?403", "Kaggle knows no competition"),
        ("Downloaded file size (9) does not match expected size (99)", "what came is not the whole zip"),
        ("Expecting value: line 1 column 1 (char 0)", "the kaggle client failed: Expecting value: line 1"),
        ("", "the kaggle client failed: it said nothing"),
    ],
)
def test_known_words_have_their_sentence(words: str, said: str) -> None:
    refusal = explain([], [words], {})
    assert refusal.sentence.startswith(said)
    assert refusal.sentence.count("https://") <= (2 if "{" in words or "url: https" in words else 1)


def test_what_passes_is_known_and_how_long_it_takes_where_that_is_told() -> None:
    assert explain([], ["Too many requests. Expected available in 37 seconds."], {}).wait == 37
    assert explain([], ["429 Client Error: Too Many Requests for url: https://x"], {}).wait is None
    assert explain([], ["Too many requests: wait 86400 seconds"], {}).wait is None  # that is for people
    passing = ("Too many requests", "502 Server Error: Bad Gateway for url: x", "does not match expected size")
    assert all(explain([], [words], {}).passing for words in passing)
    lasting = ("Forbidden", "404 Client Error", "You must accept this competition's rules", "[Errno 28]", "")
    assert not any(explain([], [words], {}).passing for words in lasting)


def test_of_a_traceback_the_error_alone_is_read() -> None:
    """Its lines of source hold every status there is."""
    lines = [
        "Traceback (most recent call last):",
        '  File "kaggle_api_extended.py", line 1357, in _introspect_token',
        "    if e.response.status_code in (400, 403, 404): Forbidden; not found",
        "requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://x",
        "",
    ]
    assert last_words(lines).startswith("requests.exceptions.HTTPError: 401")
    assert explain([], lines, {}).sentence.startswith("not signed in to Kaggle")


def test_bars_and_warnings_are_no_last_words_and_nothing_odd_is_printed() -> None:
    bar = " 52%|█████▏    | 2.00M/3.83M [00:00<00:00, 9.99MB/s]"
    assert last_words(["gone", bar.strip(), "Warning: Looks like you're using an outdated client"]) == "gone"
    assert last_words(["red \x1b[31m\x07"]) == "red  [31m "
    assert len(explain([], ["x" * 5000], {}).sentence) < 500


def test_braces_in_what_others_say_mean_nothing() -> None:
    assert "{0} {words}" in explain([], ["{0} {words}"], {}).sentence


def test_a_full_disk_is_seen_in_a_line() -> None:
    assert is_disk_full("Connection error: OSError: [Errno 28] No space left on device")
    assert not is_disk_full("Connection error: ConnectionError: [Errno 104] Connection reset by peer")


def test_credentials_are_found_in_the_order_of_the_client(tmp_path: Path) -> None:
    own, elsewhere = tmp_path / ".kaggle", tmp_path / "elsewhere"
    environment = {"HOME": str(tmp_path)}
    assert credentials(environment) is None
    assert credentials({}) is None

    def put(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
        assert "secret" not in str(credentials(environment))
        return str(path)

    unused = put(tmp_path / ".config" / "kaggle" / "kaggle.json")
    assert credentials(environment) == unused
    assert credentials(environment | {"XDG_CONFIG_HOME": str(elsewhere)}) is None
    oauth = put(own / "credentials.json")  # with a folder of its own there, the other one is not looked into
    assert credentials(environment) == oauth
    key = put(own / "kaggle.json")
    assert credentials(environment) == key
    environment["KAGGLE_CONFIG_DIR"] = str(elsewhere)
    assert credentials(environment) == oauth
    key = put(elsewhere / "kaggle.json")
    assert credentials(environment) == key
    environment["KAGGLE_USERNAME"] = "somebody"
    assert credentials(environment) == key
    environment["KAGGLE_KEY"] = "secret"
    assert credentials(environment) == "KAGGLE_USERNAME and KAGGLE_KEY"
    assert credentials(environment | {"KAGGLE_API_TOKEN": "secret"}) == "KAGGLE_API_TOKEN"
    token = put(own / "access_token.txt")
    assert credentials(environment) == token
