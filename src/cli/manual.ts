import type { Command, Option } from 'commander'

/** `docs/guide/commands.md`, made from the tree of commands. */
export function manualOf(program: Command): string {
  const head = `# Commands

Every command of Keyward, made from the command tree itself (\`src/cli/manual.ts\`); do not edit.
Exit codes: 0 done, 1 refused or found, 2 wrong usage, 3 cannot reach the server. \`run\` ends as its
program ends, and with 125 for failures of its own. \`--env\` always means the environment and is dev
unless given. In a clone the command is \`./keyward\`.
`
  return `${[head, ...program.commands.filter((command) => command.name() !== 'help').flatMap((command) => section(command, []))].join('\n')}`
}

function section(command: Command, above: readonly string[]): string[] {
  const path = [...above, command.name()]
  if (command.commands.length > 0) {
    return [
      `## ${path.join(' ')}\n\n${sentence(command.description())}\n`,
      ...command.commands.flatMap((child) => section(child, path)),
    ]
  }
  const level = above.length === 0 ? '##' : '###'
  const args = command.registeredArguments.map((argument) => {
    const name = `${argument.name().toUpperCase()}${argument.variadic ? '…' : ''}`
    return argument.required ? name : `[${name}]`
  })
  const options = command.options.filter((option) => !option.hidden)
  const line = ['keyward', ...path, ...(options.length > 0 ? ['[options]'] : []), ...args].join(' ')
  const rows = options.map((option) => `| \`${option.flags.replaceAll('|', '\\|')}\` | ${meaning(option)} |`)
  const table = rows.length === 0 ? '' : `\n| option | meaning |\n| --- | --- |\n${rows.join('\n')}\n`
  return [`${level} ${path.join(' ')}\n\n${sentence(command.description())}\n\n\`\`\`\n${line}\n\`\`\`\n${table}`]
}

function meaning(option: Option): string {
  const notes = [
    ...(option.mandatory ? ['required'] : []),
    ...(option.argChoices === undefined ? [] : [`one of ${option.argChoices.join(', ')}`]),
    ...(typeof option.defaultValue === 'string' ? [`default ${option.defaultValue}`] : []),
  ]
  return `${option.description}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}
