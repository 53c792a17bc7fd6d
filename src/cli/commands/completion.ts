import type { Command } from 'commander'
import { KeywardError } from '../../core/errors.ts'
import type { Call } from '../io.ts'
import { firstOf } from '../io.ts'

interface Node {
  readonly path: readonly string[]
  readonly words: readonly string[]
}

/** Prints the completion script that was asked for, made from the tree of commands. */
export function completionOf(program: Command): (call: Call) => void {
  return ({ io, args }) => {
    const nodes = nodesOf(program)
    const shell = firstOf(args)
    if (shell === 'bash') io.stdout.write(bash(nodes))
    else if (shell === 'zsh')
      io.stdout.write(`#compdef keyward\nautoload -U +X bashcompinit && bashcompinit\n${bash(nodes)}`)
    else if (shell === 'fish') io.stdout.write(fish(nodes))
    else throw new KeywardError('usage', 'Completion exists for bash, zsh and fish.')
  }
}

function nodesOf(command: Command, path: readonly string[] = []): Node[] {
  const options = command.options.filter((option) => !option.hidden).map((option) => option.long ?? option.short ?? '')
  const words = [...command.commands.map((child) => child.name()), ...options, '--help']
  return [{ path, words }, ...command.commands.flatMap((child) => nodesOf(child, [...path, child.name()]))]
}

function bash(nodes: readonly Node[]): string {
  const cases = nodes.map((node) => `    '${node.path.join(' ')}') words='${node.words.join(' ')}' ;;`)
  return `_keyward() {
  local path='' word words=''
  local current="\${COMP_WORDS[COMP_CWORD]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
      --) return ;;
      -*) continue ;;
    esac
    case " ${nodes
      .map((node) => node.path.join('/'))
      .filter(Boolean)
      .join(' ')} " in
      *" \${path:+\${path// //}/}$word "*) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=( $(compgen -W "$words" -- "$current") )
}
complete -o default -F _keyward keyward ./keyward
`
}

function fish(nodes: readonly Node[]): string {
  const lines = nodes.flatMap((node) => {
    const seen = node.path.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ')
    const condition = node.path.length === 0 ? '__fish_use_subcommand' : seen
    return node.words.map((word) =>
      word.startsWith('--')
        ? `complete -c keyward -n '${condition}' -l ${word.slice(2)}`
        : `complete -c keyward -f -n '${condition}' -a ${word}`,
    )
  })
  return `${lines.join('\n')}\n`
}
