/**
 * The one page of the control API so far: where a link leads that `keyward login` prints. The code is behind the `#`,
 * which a browser never sends; it is used when the person presses the button, so a program that looks at links ahead
 * of him uses nothing up. The login stays in the storage of this tab.
 */
export const loginPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Keyward</title>
<link rel="stylesheet" href="/login.css">
<main>
<h1>Keyward</h1>
<p id="text">Log in to this server?</p>
<button id="go" type="button">Log in</button>
</main>
<script src="/login.js"></script>
</html>
`

export const loginStyle = `:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
main { max-width: 34rem; margin: 15vh auto; padding: 0 1rem }
button { font: inherit; padding: .5rem 1.25rem }
`

export const loginScript = `'use strict'
const text = document.getElementById('text')
const go = document.getElementById('go')
const code = location.hash.slice(1)
history.replaceState(null, '', '/login')

async function ask(method, path, body) {
  const token = sessionStorage.getItem('keyward-login')
  const headers = body === undefined ? {} : { 'content-type': 'application/json' }
  if (token !== null) headers.authorization = 'Bearer ' + token
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: 'omit' })
  const value = await answer.json()
  if (!answer.ok) throw new Error(value.title + ' ' + value.next)
  return value
}

async function show() {
  const me = await ask('GET', '/me')
  go.hidden = true
  const about = me.groups.includes('*') ? 'everything here' : me.groups.join(', ')
  text.textContent = 'You are ' + me.name + ', ' + me.role + ' of ' + about + ', until ' + new Date(me.login.expiresAt).toLocaleTimeString() + '. This login lives in this tab.'
}

go.addEventListener('click', async () => {
  go.disabled = true
  try {
    sessionStorage.setItem('keyward-login', (await ask('POST', '/logins', { code })).token)
    await show()
  } catch (error) {
    sessionStorage.removeItem('keyward-login')
    text.textContent = error.message
  }
})

if (code === '' && sessionStorage.getItem('keyward-login') === null) {
  go.hidden = true
  text.textContent = 'Make a link with keyward login.'
} else if (code === '') show().catch((error) => { text.textContent = error.message; go.hidden = true })
`
