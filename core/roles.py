"""Who may do what: four roles in a ladder, and the actions each step adds."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from core.errors import Forbidden


class Role(StrEnum):
    """A person's role; each holds everything of the ones before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Action(StrEnum):
    """A thing a person can do that changes something, or that shows captured text."""

    VIEW = "view"
    ACKNOWLEDGE = "acknowledge"
    SILENCE = "silence"
    PROPOSE = "propose"
    RUN_MONITOR = "run_monitor"
    PAUSE_MONITOR = "pause_monitor"
    EDIT_LIMIT = "edit_limit"
    TAKE_REFERENCE = "take_reference"
    TEST_NOTICE = "test_notice"
    LABEL = "label"
    IMPORT = "import"
    CHECK_PAIRS = "check_pairs"
    LOCK_DATASET = "lock_dataset"
    REJECT = "reject"
    APPROVE = "approve"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    RENEW_FINGERPRINT = "renew_fingerprint"
    STOP_RUN = "stop_run"
    RESUME_RUN = "resume_run"
    RELEASE_PAIR = "release_pair"
    MANAGE_ACCOUNTS = "manage_accounts"
    MANAGE_KEYS = "manage_keys"
    MANAGE_CHANNELS = "manage_channels"
    MANAGE_SETTINGS = "manage_settings"
    EXPORT = "export"


_LADDER = (Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMIN)
LEAST = MappingProxyType(
    {
        Action.VIEW: Role.VIEWER,
        Action.ACKNOWLEDGE: Role.OPERATOR,
        Action.SILENCE: Role.OPERATOR,
        Action.PROPOSE: Role.OPERATOR,
        Action.RUN_MONITOR: Role.OPERATOR,
        Action.PAUSE_MONITOR: Role.OPERATOR,
        Action.EDIT_LIMIT: Role.OPERATOR,
        Action.TAKE_REFERENCE: Role.OPERATOR,
        Action.TEST_NOTICE: Role.OPERATOR,
        Action.LABEL: Role.OPERATOR,
        Action.IMPORT: Role.OPERATOR,
        Action.CHECK_PAIRS: Role.OPERATOR,
        Action.LOCK_DATASET: Role.OPERATOR,
        Action.EXPORT: Role.OPERATOR,
        Action.REJECT: Role.APPROVER,
        Action.APPROVE: Role.APPROVER,
        Action.PROMOTE: Role.APPROVER,
        Action.ROLL_BACK: Role.APPROVER,
        Action.RENEW_FINGERPRINT: Role.APPROVER,
        Action.STOP_RUN: Role.APPROVER,
        Action.RESUME_RUN: Role.APPROVER,
        Action.RELEASE_PAIR: Role.APPROVER,
        Action.MANAGE_ACCOUNTS: Role.ADMIN,
        Action.MANAGE_KEYS: Role.ADMIN,
        Action.MANAGE_CHANNELS: Role.ADMIN,
        Action.MANAGE_SETTINGS: Role.ADMIN,
    }
)


def allows(role: Role | str, action: Action) -> bool:
    """Whether `role` may do `action`."""
    return _LADDER.index(Role(role)) >= _LADDER.index(LEAST[action])


def require(role: Role | str, action: Action) -> None:
    """Raise Forbidden unless `role` may do `action`."""
    if not allows(role, action):
        raise Forbidden(
            f"The role {Role(role).value} may not {action.value.replace('_', ' ')}.",
            f"Ask someone with the role {LEAST[action].value}.",
        )
