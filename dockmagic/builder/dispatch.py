"""One instruction at a time: its effect on the config, and the step it makes (BuildKit's ``dispatch``)."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from dockmagic.builder.config import ImageConfig
from dockmagic.builder.model import Command, RunMount, RunStep, StagePlan, WorkdirStep
from dockmagic.builder.naming import command_text, heredoc_summary, prefixed
from dockmagic.builder.transfer import plan_transfer
from dockmagic.dockerfile import commands as c
from dockmagic.dockerfile.expand import GlobalScope, StageScope, proxy_variables
from dockmagic.dockerfile.heredoc import chomp, find_heredoc
from dockmagic.dockerfile.mounts import Mount
from dockmagic.dockerfile.shell import Lexer
from dockmagic.errors import InvalidParameter
from dockmagic.platforms import Platform

if TYPE_CHECKING:
    from dockmagic.builder.planner import Options


class Dispatcher:
    """Dispatches the instructions of one build's stages."""

    def __init__(self, scope: GlobalScope, options: Options, epoch: int | None) -> None:
        self._scope = scope
        self._options = options
        self._epoch = epoch
        self._proxies = proxy_variables(options.build_args)

    def dispatch(self, plan: StagePlan, command: Command) -> None:
        """Raises DockmagicError for what is wrong with the instruction."""
        config, scope = plan.config, plan.scope
        assert config is not None and scope is not None, "the planner gives a stage both before its commands"
        if isinstance(command.instruction, c.Arg):
            config.arg([(value.key, value.value) for value in scope.declare(command.instruction)])
            return
        instruction = scope.expand(command.instruction)
        if isinstance(instruction, c.Run):
            self._run(plan, command, instruction, config, scope)
        elif isinstance(instruction, c.Transfer):
            self._transfer(plan, command, instruction, config, scope)
        elif isinstance(instruction, c.Workdir):
            self._workdir(plan, command, instruction, config, scope)
        elif isinstance(instruction, c.Env):
            scope.define(instruction.pairs)
            config.env([(pair.key, pair.value) for pair in instruction.pairs])
        elif isinstance(instruction, c.Cmd):
            config.cmd(self._command_line(config, instruction))
        elif isinstance(instruction, c.Entrypoint):
            config.entrypoint(self._command_line(config, instruction))
        else:
            metadata(config, instruction)

    @staticmethod
    def _command_line(config: ImageConfig, instruction: c.ShellCommand) -> list[str]:
        return config.with_shell(instruction.args) if instruction.shell_form else list(instruction.args)

    def _shown_platform(self, plan: StagePlan) -> Platform | None:
        return (plan.platform or self._options.target_platform) if self._options.multi_platform else None

    def _workdir(
        self, plan: StagePlan, command: Command, instruction: c.Workdir, config: ImageConfig, scope: StageScope
    ) -> None:
        path = config.set_workdir(instruction.path)
        if path != "/":
            name = command_text(instruction.code, scope.env, self._scope.lexer)
            name = prefixed(plan, name, self._shown_platform(plan), triggered=command.triggered)
            plan.steps.append(WorkdirStep(name, instruction, path, config.user))
        config.record(f"WORKDIR {path}", layer=path != "/")

    def _transfer(
        self, plan: StagePlan, command: Command, instruction: c.Transfer, config: ImageConfig, scope: StageScope
    ) -> None:
        source = command.sources[0] if command.sources else None
        if source is not None and not source.dispatched:
            wanted = instruction.from_ if isinstance(instruction, c.Copy) else ""
            raise InvalidParameter(
                f'cannot copy from stage "{wanted}", it needs to be defined before current stage "{plan.name}"'
            )
        step, message = plan_transfer(instruction, source, config.workdir)
        name = command_text(instruction.code, scope.env, self._scope.lexer)
        step.name = prefixed(plan, name, self._shown_platform(plan), triggered=command.triggered)
        plan.steps.append(step)
        config.record(message, layer=True, buildkit=True)

    def _run(
        self, plan: StagePlan, command: Command, instruction: c.Run, config: ImageConfig, scope: StageScope
    ) -> None:
        if instruction.security == "insecure":
            raise InvalidParameter("security.insecure is not allowed")
        if instruction.devices:
            raise InvalidParameter("devices are not available to RUN here")
        args, script, summary = _heredocs(instruction, config)
        if not args:
            raise InvalidParameter("arguments are required")
        if (instruction.shell_form and script is None) or instruction.shell_form:
            args = config.with_shell(args)
        mounts = [
            self._mount(mount, source, config)
            for mount, source in zip(instruction.mounts, command.sources, strict=True)
        ]
        masked = {mount.env: "****" for mount in instruction.mounts if mount.type == "secret" and mount.env}
        lexer = Lexer(self._scope.lexer.escape, raw_quotes=True, skip_unset=True)
        name = command_text(instruction.code + summary, {**scope.env, **masked}, lexer)
        name = prefixed(plan, name, self._shown_platform(plan), triggered=command.triggered)
        environment = dict(scope.env)
        plan.steps.append(
            RunStep(
                name,
                instruction,
                args,
                environment,
                {key: value for key, value in self._proxies.items() if key not in environment},
                config.workdir,
                config.user,
                mounts,
                instruction.network,
                script,
            )
        )
        arguments = scope.run_args()
        shown = [f"|{len(arguments)}", *[f"{key}={value}" for key, value in arguments.items()]] if arguments else []
        config.record("RUN " + " ".join([*shown, *args]), layer=True, buildkit=True)

    @staticmethod
    def _mount(mount: Mount, source: StagePlan | None, config: ImageConfig) -> RunMount:
        if mount.type in {"secret", "ssh"}:
            return RunMount(mount, mount.target)
        target = mount.target
        if not target.startswith("/"):
            target = posixpath.join("/", config.workdir, target)
        target = posixpath.normpath(target)
        if target == "/":
            raise InvalidParameter(f'invalid mount target "{target}"')
        if source is not None and not source.dispatched and not source.implicit:
            raise InvalidParameter(
                f'cannot mount from stage "{mount.from_}" to "{target}", '
                "stage needs to be defined before current command"
            )
        return RunMount(mount, target, source)


def _heredocs(instruction: c.Run, config: ImageConfig) -> tuple[list[str], tuple[str, bytes] | None, str]:
    """The arguments with heredocs put in, a script to put into a file, and what the step's name says of it."""
    args = list(instruction.args)
    if not instruction.files:
        return args, None, ""
    if len(args) != 1 or not instruction.shell_form:
        raise InvalidParameter(f"parsing produced an invalid run command: [{' '.join(args)}]")
    first = instruction.files[0]
    if find_heredoc(args[0]) is None:
        bodies = "".join(f"\n{file.data}{file.name}" for file in instruction.files)
        return [args[0] + bodies], None, ""
    data = chomp(first.data) if first.chomp else first.data
    summary = f" ({heredoc_summary(first.data)})"
    if data.startswith("#!") and not config.windows:
        return [f"/dev/pipes/{first.name}"], (first.name, data.encode("utf-8", "surrogateescape")), summary
    return [data], None, summary


def metadata(config: ImageConfig, instruction: c.Instruction) -> None:
    """The instructions that change the config alone. Raises InvalidParameter for any other."""
    if isinstance(instruction, c.Label):
        config.label([(pair.key, pair.value) for pair in instruction.pairs])
    elif isinstance(instruction, c.User):
        config.set_user(instruction.user)
    elif isinstance(instruction, c.Expose):
        config.expose(instruction.ports)
    elif isinstance(instruction, c.Volume):
        config.volume(instruction.volumes)
    elif isinstance(instruction, c.StopSignal):
        config.stop_signal(instruction.signal)
    elif isinstance(instruction, c.Shell):
        config.shell(instruction.shell)
    elif isinstance(instruction, c.HealthCheck):
        durations = {
            "Interval": instruction.interval,
            "Timeout": instruction.timeout,
            "StartPeriod": instruction.start_period,
            "StartInterval": instruction.start_interval,
        }
        config.healthcheck(instruction.test, durations, instruction.retries)
    elif isinstance(instruction, c.OnBuild):
        config.onbuild(instruction.expression)
    elif isinstance(instruction, c.Maintainer):
        config.maintainer(instruction.maintainer)
    else:
        raise InvalidParameter(f"instruction {instruction.keyword} is not supported")
