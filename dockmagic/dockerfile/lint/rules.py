"""The checks: BuildKit's 22 with its names and words, and ours."""

from __future__ import annotations

from dataclasses import dataclass

_DOCS = "https://docs.docker.com/go/dockerfile/rule/"


@dataclass(frozen=True)
class Rule:
    """A check. ``template`` makes a warning's detail; ``experimental`` ones run only when asked for."""

    name: str
    description: str
    template: str
    page: str = ""
    experimental: bool = False
    own: bool = False
    """Not BuildKit's but dockmagic's."""

    @property
    def url(self) -> str:
        """Where the rule is explained, or ""."""
        return f"{_DOCS}{self.page}/" if self.page else ""


STAGE_NAME_CASING = Rule(
    "StageNameCasing",
    "Stage names should be lowercase",
    "Stage name '{}' should be lowercase",
    "stage-name-casing",
)
FROM_AS_CASING = Rule(
    "FromAsCasing",
    "The 'as' keyword should match the case of the 'from' keyword",
    "'{}' and '{}' keywords' casing do not match",
    "from-as-casing",
)
NO_EMPTY_CONTINUATION = Rule(
    "NoEmptyContinuation",
    "Empty continuation lines will become errors in a future release",
    "Empty continuation line",
    "no-empty-continuation",
)
CONSISTENT_INSTRUCTION_CASING = Rule(
    "ConsistentInstructionCasing",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
    "Command '{}' should match the case of the command majority ({})",
    "consistent-instruction-casing",
)
DUPLICATE_STAGE_NAME = Rule(
    "DuplicateStageName",
    "Stage names should be unique",
    "Duplicate stage name {}, stage names should be unique",
    "duplicate-stage-name",
)
RESERVED_STAGE_NAME = Rule(
    "ReservedStageName",
    "Reserved words should not be used as stage names",
    "Stage name should not use the same name as reserved stage {}",
    "reserved-stage-name",
)
JSON_ARGS_RECOMMENDED = Rule(
    "JSONArgsRecommended",
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
    "json-args-recommended",
)
MAINTAINER_DEPRECATED = Rule(
    "MaintainerDeprecated",
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    "Maintainer instruction is deprecated in favor of using label",
    "maintainer-deprecated",
)
UNDEFINED_ARG_IN_FROM = Rule(
    "UndefinedArgInFrom",
    "FROM command must use declared ARGs",
    "FROM argument '{}' is not declared",
    "undefined-arg-in-from",
)
WORKDIR_RELATIVE_PATH = Rule(
    "WorkdirRelativePath",
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base "
    "image changes",
    "Relative workdir {} can have unexpected results if the base image changes",
    "workdir-relative-path",
)
UNDEFINED_VAR = Rule(
    "UndefinedVar",
    "Variables should be defined before their use",
    "Usage of undefined variable '${}'",
    "undefined-var",
)
MULTIPLE_INSTRUCTIONS_DISALLOWED = Rule(
    "MultipleInstructionsDisallowed",
    "Multiple instructions of the same type should not be used in the same stage",
    "Multiple {} instructions should not be used in the same stage because only the last one will be used",
    "multiple-instructions-disallowed",
)
LEGACY_KEY_VALUE_FORMAT = Rule(
    "LegacyKeyValueFormat",
    "Legacy key/value format with whitespace separator should not be used",
    '"{0} key=value" should be used instead of legacy "{0} key value" format',
    "legacy-key-value-format",
)
INVALID_BASE_IMAGE_PLATFORM = Rule(
    "InvalidBaseImagePlatform",
    "Base image platform does not match expected target platform",
    "Base image {} was pulled with platform {}, expected {} for current build",
    "invalid-base-image-platform",
)
REDUNDANT_TARGET_PLATFORM = Rule(
    "RedundantTargetPlatform",
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
    "redundant-target-platform",
)
SECRETS_USED_IN_ARG_OR_ENV = Rule(
    "SecretsUsedInArgOrEnv",
    "Sensitive data should not be used in the ARG or ENV commands",
    "Do not use ARG or ENV instructions for sensitive data ({} {})",
    "secrets-used-in-arg-or-env",
)
INVALID_DEFAULT_ARG_IN_FROM = Rule(
    "InvalidDefaultArgInFrom",
    "Default value for global ARG results in an empty or invalid base image name",
    "Default value for ARG {} results in empty or invalid base image name",
    "invalid-default-arg-in-from",
)
FROM_PLATFORM_FLAG_CONST_DISALLOWED = Rule(
    "FromPlatformFlagConstDisallowed",
    "FROM --platform flag should not use a constant value",
    "FROM --platform flag should not use constant value {}",
    "from-platform-flag-const-disallowed",
)
COPY_IGNORED_FILE = Rule(
    "CopyIgnoredFile",
    "Attempting to Copy file that is excluded by .dockerignore",
    "Attempting to {} file {} that is excluded by .dockerignore",
    "copy-ignored-file",
)
INVALID_DEFINITION_DESCRIPTION = Rule(
    "InvalidDefinitionDescription",
    "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not "
    "intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    "Comment for {} should follow the format: `# {} <description>`",
    "invalid-definition-description",
    experimental=True,
)
EXPOSE_PROTO_CASING = Rule(
    "ExposeProtoCasing",
    "Protocol in EXPOSE instruction should be lowercase",
    "Defined protocol '{}' in EXPOSE instruction should be lowercase",
    "expose-proto-casing",
)
EXPOSE_INVALID_FORMAT = Rule(
    "ExposeInvalidFormat",
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future "
    "release",
    "EXPOSE instruction should not define an IP address or host-port mapping, found '{}'",
    "expose-invalid-format",
)

REMOVED_IN_LATER_LAYER = Rule(
    "RemovedInLaterLayer",
    "Removing files frees no space when an earlier layer holds them",
    "{} was put there by the instruction on line {}, and that layer keeps it: remove it in the same instruction",
    own=True,
)
APT_LISTS_LEFT_BEHIND = Rule(
    "AptListsLeftBehind",
    "Package lists should not stay in the image",
    "apt's package lists stay in this layer: end the instruction with `rm -rf /var/lib/apt/lists/*`, or mount a cache "
    "there",
    own=True,
)
COPY_BEFORE_INSTALL = Rule(
    "CopyBeforeInstall",
    "Files that change often should be copied after the dependencies are installed",
    "Any change in the context repeats `{}` on line {}: copy only what it needs before it, and the rest after it",
    own=True,
)
COMMAND_OVERRIDDEN = Rule(
    "CommandOverridden",
    "A default command that a later stage replaces has no effect",
    "This {} has no effect in the image: the {} on line {} replaces it",
    own=True,
)
SECRET_BY_VALUE = Rule(
    "SecretByValue",
    "Secrets should not be written into a Dockerfile",
    "{} holds what looks like {}: anyone who has the image can read it; use RUN --mount=type=secret",
    own=True,
)

RULES = {rule.name: rule for rule in tuple(globals().values()) if isinstance(rule, Rule)}
"""Every rule by its name."""
