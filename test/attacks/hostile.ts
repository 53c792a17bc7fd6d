import fc from 'fast-check'

/** Texts that other programs would act on: as a query, a command, a template, a path, a script, a pattern. */
export const hostileTexts: readonly string[] = [
  `' OR '1'='1`,
  `'; DROP TABLE record; --`,
  `" UNION SELECT body FROM record --`,
  `1); DELETE FROM keyward WHERE (1=1`,
  `%' AND 1=randomblob(1000000000) --`,
  '%',
  '_',
  '*',
  '.*',
  '(a+)+$',
  '$(touch CANARY)',
  '`touch CANARY`',
  '; touch CANARY',
  '| touch CANARY',
  '&& touch CANARY',
  '{{7*7}}',
  '${7*7}',
  '<%= 7*7 %>',
  '#{7*7}',
  '${jndi:ldap://127.0.0.1/a}',
  '../../../../etc/passwd',
  '..%2f..%2fetc%2fpasswd',
  'file:///etc/passwd',
  '__proto__',
  'constructor',
  'toString',
  '<script>alert(1)</script>',
  'null',
  'undefined',
  'true',
  '-1',
  '9'.repeat(400),
  'A'.repeat(3_000),
  'process.exit(1)',
  'require("child_process").execSync("touch CANARY")',
]

/** Printable texts of one line, hostile ones and parts of them among others. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...hostileTexts),
  fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 80 }),
  fc
    .array(fc.constantFrom(`'`, '"', ';', '--', '/*', '*/', ' OR ', '1=1', ')', '(', '\\', '%', '{{', '}}', 'x'), {
      minLength: 1,
      maxLength: 12,
    })
    .map((parts) => parts.join('')),
)
