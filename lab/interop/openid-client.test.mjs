// openid-client is widely used in Node. It discovers, authenticates, and knows N_A for exchanges.
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import * as client from 'openid-client'
import {
  accessToken, actor, aggregates, demo, grant, idToken, issuer, jwt, management, parties, payroll, robotKey, secret, tools,
} from './demo.mjs'

// discover makes a client of the demo world that verifies the signatures of ID tokens too.
const discover = (id, auth, algorithm) =>
  client.discovery(issuer, id, undefined, auth, {
    algorithm,
    execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
  })

let portal, api

before(async () => {
  portal = await discover('portal', client.ClientSecretBasic(secret('portal')))
  api = await discover('aggregates-api', client.ClientSecretBasic(secret('aggregates-api')))
})

const exchange = (form, config = portal) => client.genericGrantRequest(config, grant, form)

// has checks members of an object; undefined means that the member must not be there.
function has(object, want) {
  for (const [name, value] of Object.entries(want)) assert.deepEqual(object[name], value, name)
}

const refusal = (error, status = 400) => (err) => {
  assert.ok(err instanceof client.ResponseBodyError, `${err} (${err.code})`)
  assert.equal(err.error, error)
  assert.equal(err.status, status)
  return true
}

describe('discovery', () => {
  for (const algorithm of ['oidc', 'oauth2']) {
    test(algorithm, async () => {
      const config = await discover('portal', client.None(), algorithm)
      const metadata = config.serverMetadata()
      has(metadata, { issuer: demo.issuer, token_endpoint: demo.token_endpoint, jwks_uri: demo.jwks_uri })
      assert.ok(metadata.grant_types_supported.includes(grant))
    })
  }
})

describe('exchange', () => {
  const methods = { client_secret_basic: client.ClientSecretBasic, client_secret_post: client.ClientSecretPost }
  for (const [name, method] of Object.entries(methods)) {
    test(name, async () => {
      const config = await discover('portal', method(secret('portal')))
      const form = { ...parties('end_user'), audience: aggregates, scope: 'read' }

      const narrow = await exchange(form, config)
      has(narrow, { token_type: 'bearer', issued_token_type: accessToken, scope: 'read', refresh_token: undefined })
      assert.ok(narrow.expiresIn() > 0 && narrow.expiresIn() <= 3600)
      has(await client.tokenIntrospection(api, narrow.access_token), { active: true, sub: 'alice', aud: aggregates, scope: 'read', act: undefined })

      const delegated = await exchange({ ...form, ...parties('end_user', 'impersonator') }, config)
      has(await client.tokenIntrospection(api, delegated.access_token), { active: true, sub: 'alice', act: actor('ines', 'portal') })
    })
  }

  test('private_key_jwt', async () => {
    const robot = await discover('robot', client.PrivateKeyJwt(robotKey))
    const own = await client.clientCredentialsGrant(robot, { scope: 'read' })
    const answer = await exchange({ ...parties('end_user'), actor_token: own.access_token, actor_token_type: accessToken }, robot)
    has(answer, { token_type: 'bearer', scope: 'read' })
    has(await client.tokenIntrospection(robot, answer.access_token), { active: true, sub: 'alice', aud: tools, act: actor('robot', 'robot') })
  })

  test('with an ID token beside the access token', async () => {
    const answer = await exchange({ ...parties('end_user', 'impersonator'), scope: 'openid profile read' })
    has(answer.claims(), { iss: demo.issuer, sub: 'alice', aud: 'portal', name: 'Alice Archer', email: undefined, act: actor('ines', 'portal') })
  })

  test('with an ID token as its result', async () => {
    const form = { subject_token: demo.tokens.end_user.id_token, subject_token_type: idToken, requested_token_type: idToken, scope: 'openid' }
    const answer = await exchange(form)
    has(answer, { token_type: 'n_a', issued_token_type: idToken, id_token: undefined, refresh_token: undefined })
    const payload = JSON.parse(Buffer.from(answer.access_token.split('.')[1], 'base64url'))
    has(payload, { iss: demo.issuer, sub: 'alice', aud: 'portal', azp: 'portal' })
    assert.ok(answer.expiresIn() > 0)
  })
})

describe('later', () => {
  test('refresh keeps the actor, and revocation ends the grant', async () => {
    const first = await exchange({ ...parties('end_user', 'impersonator'), audience: aggregates, scope: 'openid read offline_access' })
    const second = await client.refreshTokenGrant(portal, first.refresh_token)
    assert.notEqual(second.refresh_token, first.refresh_token)
    has(second.claims(), { sub: 'alice', act: actor('ines', 'portal') })
    has(await client.tokenIntrospection(api, second.access_token), { active: true, sub: 'alice', act: actor('ines', 'portal') })

    await client.tokenRevocation(portal, second.refresh_token, { token_type_hint: 'refresh_token' })
    has(await client.tokenIntrospection(api, second.access_token), { active: false, sub: undefined })
    await assert.rejects(client.refreshTokenGrant(portal, second.refresh_token), refusal('invalid_grant'))
  })

  test('an API takes a token, and refuses one with an actor', async () => {
    const users = async (form) => {
      const { access_token } = await exchange({ ...form, audience: management, scope: 'users:read', requested_token_type: jwt })
      return client.fetchProtectedResource(portal, access_token, new URL('/api/users', issuer), 'GET')
    }
    const response = await users(parties('admin'))
    assert.equal(response.status, 200)
    assert.ok((await response.json()).users.some((user) => user.id === 'alice'))
    const { status } = await users(parties('admin', 'org_admin_impersonator'))
      .catch((err) => err) // a challenge in WWW-Authenticate is thrown
    assert.equal(status, 403)
  })
})

describe('refusals', () => {
  const cases = {
    invalid_target: { ...parties('end_user'), audience: payroll },
    invalid_scope: { ...parties('end_user'), scope: 'users:read' },
    invalid_request: parties('impersonator', 'end_user'),
  }
  for (const [code, form] of Object.entries(cases)) {
    test(code, () => assert.rejects(exchange(form), refusal(code)))
  }

  test('invalid_grant', () => assert.rejects(client.refreshTokenGrant(portal, 'rt_unknown'), refusal('invalid_grant')))

  test('unauthorized_client', () =>
    assert.rejects(client.refreshTokenGrant(api, demo.tokens.end_user.refresh_token), refusal('unauthorized_client')))

  test('invalid_client', async () => {
    const basic = await discover('portal', client.ClientSecretBasic('wrong'))
    await assert.rejects(exchange(parties('end_user'), basic), (err) => {
      assert.ok(err instanceof client.WWWAuthenticateChallengeError, `${err} (${err.code})`)
      has(err, { status: 401 })
      return err.cause[0].scheme === 'basic'
    })
    const post = await discover('portal', client.ClientSecretPost('wrong'))
    await assert.rejects(exchange(parties('end_user'), post), refusal('invalid_client', 401))
  })
})
