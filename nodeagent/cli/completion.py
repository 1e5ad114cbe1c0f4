"""`nodeagent completion`: the script that lets a shell complete our words."""

from __future__ import annotations

import click

from nodeagent.cli.options import Words
from nodeagent.cli.output import say

_VARIABLE = "_NODEAGENT_COMPLETE"
_INSTALL = {
    "bash": (
        "nodeagent completion bash > /etc/bash_completion.d/nodeagent",
        'or, for yourself, in ~/.bashrc: eval "$(nodeagent completion bash)"',
        "Needs bash 4.4 or newer.",
    ),
    "zsh": (
        "nodeagent completion zsh > /usr/local/share/zsh/site-functions/_nodeagent",
        'or, for yourself, in ~/.zshrc after compinit: eval "$(nodeagent completion zsh)"',
    ),
    "fish": (
        "nodeagent completion fish > /etc/fish/completions/nodeagent.fish",
        "or, for yourself, into ~/.config/fish/completions/nodeagent.fish",
    ),
}


@click.command(
    "completion",
    epilog="""\b
Examples:
  eval "$(nodeagent completion bash)"
  nodeagent completion fish > /etc/fish/completions/nodeagent.fish
""",
)
@click.argument("shell", type=Words(*_INSTALL), metavar="bash|zsh|fish")
def command(shell: str) -> None:
    """Print the script that completes commands, options and their words in a shell.

    The script says how to install it. It asks `nodeagent` itself for each word, so it need not
    be made anew after an update.
    """
    say(_script(shell))


def _script(shell: str) -> str:
    from click.shell_completion import ShellComplete, get_completion_class  # noqa: PLC0415

    from nodeagent.cli.main import cli  # noqa: PLC0415 - it imports this module

    maker = get_completion_class(shell)
    assert maker is not None, shell  # noqa: S101 - click has had these three since 8.0
    # The base class's own: bash's would run a shell to learn its version.
    script = ShellComplete.source(maker(cli, {}, "nodeagent", _VARIABLE)).strip()
    about = "\n".join(f"#   {line}" for line in _INSTALL[shell])
    if shell == "zsh":  # its first line must stay the first
        first, _, rest = script.partition("\n")
        return f"{first}\n# To install:\n{about}\n{rest}"
    return f"# To install:\n{about}\n{script}"
