"""Every setting with its default and its meaning. config/ fills these from flags, environment and file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

Rhythm = Literal["none", "day", "week"]
RHYTHMS: tuple[str, ...] = get_args(Rhythm)
LearnsFrom = Literal["dpo", "kto"]
Trains = Literal["lora", "full"]
Precision = Literal["auto", "fp32", "bf16"]
Asks = Literal["off", "reference", "folds"]


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The request path."""

    host: str = field(default="127.0.0.1", metadata={"help": "Address the gateway listens on."})
    port: int = field(default=8700, metadata={"help": "Port the gateway listens on."})
    server: str = field(
        default="transformers_local",
        metadata={"help": "Which server answers: transformers_local, openai_compatible, vllm or scripted."},
    )
    upstream_url: str = field(
        default="", metadata={"help": "Base URL of the OpenAI-compatible server, with /v1; several with commas."}
    )
    upstream_key: str = field(default="", metadata={"help": "Key for that server.", "secret": True})
    upstream_model: str = field(default="", metadata={"help": "Model name to ask that server for."})
    max_body_bytes: int = field(default=1_048_576, metadata={"help": "Largest request taken, in bytes."})
    max_traces_bytes: int = field(
        default=16_777_216, metadata={"help": "Largest batch of OpenTelemetry spans taken, in bytes, unpacked."}
    )
    max_tokens: int = field(default=256, metadata={"help": "Tokens answered when a request names no limit."})
    max_tokens_limit: int = field(default=1024, metadata={"help": "Most tokens a request may ask for."})
    timeout_seconds: float = field(default=120.0, metadata={"help": "Longest wait for the model server."})
    capture_queue: int = field(default=4096, metadata={"help": "Captures held in memory before chats go uncaptured."})
    shadow_per_minute: int = field(default=30, metadata={"help": "Most requests a minute that a shadow copies."})
    open_access: bool = field(default=False, metadata={"help": "Answer without an API key (loopback trials only)."})


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The models and the local model server."""

    chat: str = field(default="", metadata={"help": "Hugging Face id or folder of the chat model; empty: SmolLM2."})
    encoder: str = field(default="", metadata={"help": "Hugging Face id or folder of the encoder; empty: MiniLM."})
    host: str = field(default="127.0.0.1", metadata={"help": "Address of the local model server."})
    port: int = field(default=8701, metadata={"help": "Port of the local model server."})
    threads: int = field(default=0, metadata={"help": "Processor threads for generation; 0: half the cores."})


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """Scheduler, false-alarm budget and notices."""

    budget: float = field(
        default=1.0,
        metadata={"help": "False alarms allowed a period, over all statistical monitors together."},
    )
    period_days: int = field(default=91, metadata={"help": "Length of that period in days."})
    epoch_days: int = field(default=30, metadata={"help": "Longest epoch of a sequential monitor in days."})
    least_epoch_days: float = field(
        default=7.0,
        metadata={
            "help": "Days that busy traffic, read thinned for it, gives an epoch; 0: every conversation is read."
        },
    )
    rhythm: Rhythm = field(
        default="none",
        metadata={
            "help": "Compare like hours with like: none, day (eight parts) or week (two kinds of day by four parts)."
        },
    )
    tick_seconds: float = field(default=2.0, metadata={"help": "How often the scheduler looks for due monitors."})
    public_url: str = field(default="", metadata={"help": "Address of the dashboard that notices link to."})
    allow_private_webhooks: bool = field(
        default=False, metadata={"help": "Let webhooks go to loopback and private addresses."}
    )


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """The model that judges answers, on any OpenAI-compatible server; unset: none, and its monitor stays paused."""

    url: str = field(default="", metadata={"help": "Base URL of the judge's server, with /v1; answers are sent there."})
    model: str = field(default="", metadata={"help": "Model name to ask that server for."})
    key: str = field(default="", metadata={"help": "Key for that server.", "secret": True})
    timeout_seconds: float = field(default=60.0, metadata={"help": "Longest wait for one verdict."})


@dataclass(frozen=True, slots=True)
class CostSettings:
    """Prices, for the cost of versions and segments. All 0: only tokens and seconds are shown."""

    currency: str = field(default="EUR", metadata={"help": "What the prices are in."})
    prompt_million: float = field(default=0.0, metadata={"help": "Price of a million prompt tokens."})
    completion_million: float = field(default=0.0, metadata={"help": "Price of a million answered tokens."})
    server_hour: float = field(default=0.0, metadata={"help": "Price of an hour in which the server answers."})
    training_hour: float = field(default=0.0, metadata={"help": "Price of an hour of training."})
    poor_answer: float = field(default=0.0, metadata={"help": "What an answer that people dislike costs you."})


@dataclass(frozen=True, slots=True)
class RetrainSettings:
    """Decisions, runs and the gate."""

    allow_self_approval: bool = field(default=False, metadata={"help": "Let a person approve their own proposal."})
    decision_hours: float = field(default=72.0, metadata={"help": "Hours until an unanswered proposal expires."})
    lease_seconds: float = field(default=30.0, metadata={"help": "Seconds a worker holds a run without a heartbeat."})
    minimum_pairs: int = field(default=32, metadata={"help": "Approved pairs needed before a run is proposed."})
    trainer: LearnsFrom = field(
        default="dpo",
        metadata={
            "help": "What a proposed run learns from: dpo (preference pairs) or kto (single answers with thumbs)."
        },
    )
    finetuning_type: Trains = field(
        default="lora",
        metadata={"help": "What a proposed run trains: lora (an adapter on the base) or full (all weights)."},
    )
    max_steps: int = field(default=64, metadata={"help": "Optimiser steps of a proposed run.", "least": 1})
    pairs_per_step: int = field(default=4, metadata={"help": "Preference pairs in a step.", "least": 1})
    tokens_per_batch: int = field(
        default=1024,
        metadata={
            "help": "Tokens that a run takes through the model at once; fewer need less memory and more time, down to "
            "256 or its longest pair.",
            "least": 1,
        },
    )
    precision: Precision = field(
        default="auto",
        metadata={
            "help": "Number format in which a run multiplies: auto (bf16 where the hardware does so natively, else "
            "fp32), bf16 or fp32 (exacter; more memory, and slower where bf16 is native)."
        },
    )
    learning_rate: float = field(default=2e-4, metadata={"help": "Peak learning rate of a proposed run."})
    full_learning_rate: float = field(
        default=1e-6, metadata={"help": "Peak learning rate of a proposed run that trains all weights."}
    )
    beta: float = field(default=0.1, metadata={"help": "DPO's beta."})
    adapt_steps: int = field(
        default=16, metadata={"help": "Steps of adaptation to recent questions that an approval may put first."}
    )
    max_train_pairs: int = field(default=256, metadata={"help": "Pairs drawn into the training split at most."})
    max_held_out_pairs: int = field(default=256, metadata={"help": "Pairs drawn into the held-out split at most."})
    contributor_share: float = field(
        default=0.01,
        metadata={"help": "Share of a run's pairs from one contributor; never less than three equal shares."},
    )
    customs_model: Asks = field(
        default="off",
        metadata={
            "help": "What the chat model is asked of labels before a run draws: off, reference (whether it agrees as "
            "it is) or folds (also margins of short fits on other prompts, by which labels are doubted)."
        },
    )
    customs_pairs: int = field(default=1000, metadata={"help": "Pairs that the chat model is asked about at most."})
    customs_steps: int = field(default=64, metadata={"help": "Optimiser steps of each of its four fits at most."})
    feedback_consent: str = field(
        default="",
        metadata={"help": "What pairs from feedback say of consent, such as the terms that people accepted."},
    )
    gate_margin: float = field(
        default=0.1, metadata={"help": "Increase of a bad rate (refusals, attacks, bias) that a gate lets pass."}
    )
    gate_length_margin: float = field(
        default=0.25, metadata={"help": "Share of the token limit by which a gate lets answers get shorter."}
    )
    gate_latency_margin: float = field(
        default=0.5, metadata={"help": "Share by which a gate lets a token take longer; 0.5: half as long again."}
    )
    gate_perplexity_margin: float = field(
        default=0.25, metadata={"help": "Share by which a gate lets perplexity on preferred answers rise."}
    )
    gate_calibration_margin: float = field(
        default=0.05, metadata={"help": "Increase of the Brier score of preference margins that a gate lets pass."}
    )
    gate_requires: str = field(
        default="",
        metadata={
            "help": "Checks that block without data, by name and comma: latency, stereotyped_answers, sycophancy."
        },
    )
    gate_questions: bool = field(
        default=False,
        metadata={"help": "Let the gate also ask fixed questions (stereotypes, sycophancy); needs a scoring server."},
    )
    canary_share: int = field(
        default=0, metadata={"help": "Percent of the traffic that a promotion is offered first; 0: all at once."}
    )
    canary_answers: int = field(
        default=200, metadata={"help": "Users or conversations that meet the candidate before a canary may go live."}
    )
    canary_alpha: float = field(
        default=0.05,
        metadata={"help": "Most canaries, as a share, that may be ended although the candidate is no worse."},
    )
    canary_margin: float = field(
        default=0.1, metadata={"help": "Increase of a bad rate that a canary must rule out to go live; 0: none."}
    )
    shadow_answers: int = field(default=60, metadata={"help": "Copied requests that a shadow answers before it ends."})
    checkpoint_seconds: float = field(default=20.0, metadata={"help": "Seconds of training between two checkpoints."})
    engine: str = field(
        default="local", metadata={"help": "Where runs train: local (this machine) or ray_jobs (a Ray cluster)."}
    )
    ray_address: str = field(
        default="", metadata={"help": "The Ray cluster's dashboard, such as http://ray-head:8265."}
    )
    ray_token: str = field(default="", metadata={"help": "The cluster's token.", "secret": True})
    ray_token_file: str = field(default="", metadata={"help": "File that holds the cluster's token."})
    ray_python: str = field(
        default="", metadata={"help": "Interpreter on the cluster that has Trimtab; empty: the same path as here."}
    )
    ray_cpus: float = field(default=1.0, metadata={"help": "Cores that a run takes on the cluster."})
    ray_gpus: float = field(default=0.0, metadata={"help": "GPUs that a run takes on the cluster."})
    device: str = field(default="auto", metadata={"help": "Where to train: auto, cpu or cuda."})
    devices: int = field(
        default=1,
        metadata={"help": "Devices that a run trains on together (torchrun, FSDP), on one machine.", "least": 1},
    )
    threads: int = field(default=0, metadata={"help": "Processor threads of a run on the CPU; 0: half the cores."})


@dataclass(frozen=True, slots=True)
class DashboardSettings:
    """The console."""

    host: str = field(default="127.0.0.1", metadata={"help": "Address the dashboard listens on."})
    port: int = field(default=8702, metadata={"help": "Port the dashboard listens on."})
    session_hours: float = field(default=12.0, metadata={"help": "Hours until a sign-in ends."})
    secure_cookie: bool = field(default=False, metadata={"help": "Send the sign-in cookie over HTTPS only."})
    demo: bool = field(default=False, metadata={"help": "Label every page as a demonstration."})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of an installation. `origins` says, by dotted name, where a value came from."""

    home: Path = field(metadata={"help": "Folder of this installation: database, models, runs, secrets."})
    models_home: Path = field(metadata={"help": "Folder of the prepared models."})
    database_url: str = field(
        default="", metadata={"help": "SQLAlchemy URL; empty: SQLite in the home folder.", "secret": True}
    )
    data: str = field(default="", metadata={"help": "Folder of public data for tests, benchmarks and imports."})
    deployment: str = field(default="assistant", metadata={"help": "Name that clients send as the model."})
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    models: ModelSettings = field(default_factory=ModelSettings)
    monitors: MonitorSettings = field(default_factory=MonitorSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    cost: CostSettings = field(default_factory=CostSettings)
    retrain: RetrainSettings = field(default_factory=RetrainSettings)
    dashboard: DashboardSettings = field(default_factory=DashboardSettings)
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def store_url(self) -> str:
        """Where the store is: the configured URL, or the SQLite file in the home folder."""
        return self.database_url or f"sqlite:///{self.home / 'trimtab.db'}"

    @property
    def chat_path(self) -> Path:
        """Folder of the prepared chat model."""
        return self.models_home / "chat"

    @property
    def encoder_path(self) -> Path:
        """Folder of the prepared encoder."""
        return self.models_home / "encoder"

    @property
    def gateway_url(self) -> str:
        """Base URL of the gateway, without /v1."""
        return f"http://{_reachable(self.gateway.host)}:{self.gateway.port}"

    @property
    def model_server_url(self) -> str:
        """Base URL of the local model server."""
        return f"http://{_reachable(self.models.host)}:{self.models.port}"

    @property
    def dashboard_url(self) -> str:
        """Address to open in a browser."""
        return f"http://{_reachable(self.dashboard.host)}:{self.dashboard.port}"

    @property
    def internal_key_path(self) -> Path:
        """File of the key that Trimtab's own processes use towards the gateway and the model server."""
        return self.home / "secrets" / "internal.key"

    @property
    def pointer_path(self) -> Path:
        """File naming the version to serve while the database is away."""
        return self.home / "pointer.json"


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "") else host
