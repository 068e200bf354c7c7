// Shared by the tests of npm clients: the line of authserver -demo, and names of its world.
import { readFileSync } from 'node:fs'
import { importPKCS8 } from 'jose'

if (!process.env.TOKENEXCHANGE_DEMO) {
  throw new Error('TOKENEXCHANGE_DEMO names no line of authserver -demo; use the script run')
}

/** The line that authserver -demo prints. */
export const demo = JSON.parse(readFileSync(process.env.TOKENEXCHANGE_DEMO, 'utf8'))

export const issuer = new URL(demo.issuer)
export const grant = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const accessToken = 'urn:ietf:params:oauth:token-type:access_token'
export const jwt = 'urn:ietf:params:oauth:token-type:jwt'
export const idToken = 'urn:ietf:params:oauth:token-type:id_token'

export const aggregates = 'https://aggregates.example'
export const settings = 'https://settings.example'
export const management = 'https://management.example'
export const ledger = 'https://ledger.example'
export const tools = 'https://tools.example'
export const payroll = 'https://payroll.example' // no API has it

/** The secret of a client of the demo world. */
export function secret(id) {
  const found = demo.clients.find((client) => client.id === id)?.secret
  if (!found) throw new Error(`the demo world has no client ${id} with a secret`)
  return found
}

/** An act claim about a party of our issuer; prior is the previous actor. */
export const actor = (sub, client, prior) => ({
  iss: demo.issuer,
  sub,
  client_id: client,
  ...(prior && { act: prior }),
})

/** The parameters of the subject token of a login and, if given, of the actor token of another. */
export function parties(subject, acting) {
  const form = { subject_token: demo.tokens[subject].access_token, subject_token_type: accessToken }
  if (acting) {
    form.actor_token = demo.tokens[acting].access_token
    form.actor_token_type = accessToken
  }
  return form
}

const pem = (name) => readFileSync(new URL(`../../examples/authserver/testdata/${name}.pem`, import.meta.url), 'utf8')

/** The private key of the client robot, as oauth4webapi and openid-client want it. */
export const robotKey = { key: await importPKCS8(pem('robot'), 'ES256'), kid: 'robot-1' }

/** The private key of the foreign issuer of the demo world. */
export const partnerKey = await importPKCS8(pem('partner'), 'ES256')
