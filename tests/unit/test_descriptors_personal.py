"""Personal data: what must be found, and what looks like it and must not be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.descriptors.personal import fresh_kinds, iban, kinds, luhn

POSITIVES = {
    "email": [
        "Write to anna.keller+shop@mail.firma.de today.",
        "mailto:O_Neil@sub.domain.co.uk",
        "<j.doe@uni-koeln.de>, thanks",
    ],
    "phone": [
        "Call +49 30 9018 2045 after six.",
        "My number is +14155552671",
        "ring (212) 736-5000 please",
        "212-736-5000",
        "1-800-275-2273",
        "Telefon: 030 901820",
        "my mobile number is 07700 901234.",
    ],
    "card": [
        "card 4539 1488 0343 6467, valid until May",
        "4539148803436467",
        "3782-822463-10005",
        "MasterCard 5425233430109903.",
    ],
    "iban": [
        "IBAN DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "FR14 2004 1010 0505 0001 3M02 606 please",
        "NL91ABNA0417164300, thanks",
    ],
    "ip": ["login from 84.177.32.9 failed", "host 2003:e5:1700:4a00:9c3e:1f2a:77b0:1d4c", "145.97.40.11:8080"],
    "national_id": [
        "my SSN is 536-90-4399",
        "NI number QQ 12 34 56 C".replace("QQ", "AB"),
        "DNI 12345678Z",
        "NIE X1234567L",
        "codice fiscale RSSMRA85T10A562S",
        "NIR 1 84 12 76 451 089 46",
        "CPF 529.982.247-25",
    ],
}
NEGATIVES = [
    "",
    "user@localhost wrote to me@example.com and root@host.test",
    "logo@2x.png and icons@3x.jpg",
    "git clone git@github.com:owner/name.git",
    "follow @anna on the forum",
    "pip install package@1.2.3",
    "The order number is 1234567890123456.",
    "4539 1488 0343 6468",
    "0000 0000 0000 0000",
    "tracking 00340434161094022115",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "It costs 1,234,567.89 or +12345 points, +1000000000 at most.",
    "between 2019-03-04 and 2020-05-06 12:30:45",
    "call 212-555-0143 in the film",
    "call 110 or 911",
    "room 030-12",
    "DE89 3704 0044 0532 0130 01",
    "ISBN 978-3-16-148410-0",
    "192.168.0.12, 10.0.0.1, 127.0.0.1 and 255.255.255.0",
    "documentation uses 203.0.113.77 and 198.51.100.23",
    "see section 4.12.13.2, version 10.15.7.21, v12.34.56.78",
    "resolvers 8.8.8.8 and 1.1.1.1",
    "999.888.777.666",
    "time 12:30:45:00",
    "std::vector::iterator a::b::c::d",
    "000-12-3456 and 900-12-3456 and 123-45-6789",
    "DNI 12345678A",
    "codice RSSMRA85T10A562X",
    "CPF 111.111.111-11 and 529.982.247-26",
    "NIR 1 84 12 76 451 089 47",
    "part AB123456 of the catalogue",
    "Einstein was born in 1879 and died in 1955.",
    "3.14159265358979323846",
    "phone 12 has 0.5 mm",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
    "Matrix: 0 1 0 1 1 0 0 1 0 1 0 0 1 1 0 1",
    "0800 is free of charge",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in POSITIVES.items() for text in texts])
def test_personal_data_is_found_as_what_it_is(kind, text):
    assert kinds(text) == {kind}


@pytest.mark.parametrize("text", NEGATIVES)
def test_what_only_looks_like_it_is_left_alone(text):
    assert kinds(text) == frozenset()


def test_only_what_the_prompt_did_not_hold_counts_as_told_by_the_answer():
    prompt = "My card is 4539 1488 0343 6467 and my mail anna@firma.de"
    assert fresh_kinds(prompt, "I noted 4539148803436467 and ANNA@firma.de.") == frozenset()
    assert fresh_kinds(prompt, "Otto has otto@firma.de.") == {"email"}
    assert fresh_kinds(prompt, "Hello.") == frozenset()


@given(st.text(alphabet="0123456789", min_size=12, max_size=18), st.integers(0, 17), st.integers(1, 9))
def test_one_wrong_digit_is_always_seen_by_luhn(body, place, shift):
    number = next(body + str(check) for check in range(10) if luhn(body + str(check)))
    at = place % len(number)
    assert not luhn(number[:at] + str((int(number[at]) + shift) % 10) + number[at + 1 :])


@given(st.text(alphabet="0123456789", min_size=18, max_size=18), st.integers(0, 17), st.integers(1, 9))
def test_one_wrong_digit_is_always_seen_by_the_iban_check(body, place, shift):
    check = 98 - int(body + "131400") % 97
    assert iban(f"DE{check:02d}{body}")
    wrong = body[:place] + str((int(body[place]) + shift) % 10) + body[place + 1 :]
    assert not iban(f"DE{check:02d}{wrong}")


@given(st.text())
def test_any_text_is_read(text):
    assert kinds(text) <= set(POSITIVES)


@pytest.mark.parametrize(
    "text", ["a" * 500_000, "1 " * 200_000, "1" * 400_000, "a@" * 200_000, "a.b-" * 100_000 + "@", ":" * 300_000,
             "AA00 " * 90_000, "+1 (" * 100_000, "phone number is " * 30_000, "1.1." * 100_000, "f:" * 100_000]
)  # fmt: skip
@pytest.mark.timeout(5)
def test_hostile_texts_are_read_in_bounded_time(text):
    assert kinds(text) == frozenset()
