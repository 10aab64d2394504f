"""Licence and consent: whether a pair may be used at all."""

from __future__ import annotations

from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot
from retrain.pairs.split import words

DENIED_LICENCES = frozenset({"all rights reserved", "proprietary", "unknown", "none", "noassertion", "unlicensed"})
DENIED_CONSENT = frozenset({"no", "false", "0", "n", "denied", "refused", "withdrawn", "revoked", "opt out", "optout"})


class Papers:
    """Holds pairs without a licence or consent, or with one that denies the use.

    Where `required` is not said, a licence that no pair carries was not asked for; nor is a consent that no pair of a
    source carries, so that one source's papers do not hold the pairs of another.
    """

    name = "papers"

    def __init__(self, *, required: bool = False) -> None:
        self.required = required

    def run(self, lot: Lot) -> Result:
        licensed = self.required or any(pair.licence.strip() for pair in lot.pairs)
        asked = {pair.source for pair in lot.pairs if pair.consent.strip()}
        findings = []
        for place, pair in enumerate(lot.pairs):
            if licensed and not pair.licence.strip():
                findings.append(Finding(place, "no_licence", "It names no licence.", 0.5))
            elif words(pair.licence) in DENIED_LICENCES:
                findings.append(Finding(place, "licence_denied", "Its licence does not allow the use.", 0.5))
            if pair.source in asked and not pair.consent.strip():
                findings.append(Finding(place, "no_consent", "It does not say whether its person consented.", 0.5))
            elif words(pair.consent) in DENIED_CONSENT:
                findings.append(Finding(place, "consent_denied", "Its person did not consent.", 0.5))
        notes = [] if licensed else ["No pair says anything about its licence, so that was not checked."]
        silent = sum(pair.source not in asked for pair in lot.pairs)
        if silent:
            notes.append(f"{silent} pairs are of sources that say nothing about consent, so that was not checked.")
        return Result(findings, notes)
