// oauth4webapi is the strictest client: it checks status, media type and every member of a response.
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { SignJWT, createRemoteJWKSet, jwtVerify } from 'jose'
import * as oauth from 'oauth4webapi'
import {
  accessToken, actor, aggregates, demo, grant, idToken, issuer, jwt, ledger, parties, partnerKey, payroll, robotKey, secret,
  settings, tools,
} from './demo.mjs'

const loopback = { [oauth.allowInsecureRequests]: true }
const portal = { client_id: 'portal' }

let as

before(async () => {
  as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, loopback))
})

const basic = (client) => oauth.ClientSecretBasic(secret(client.client_id))
const post = (client) => oauth.ClientSecretPost(secret(client.client_id))

// token sends one request to the token endpoint and validates the response.
async function token(client, auth, type, form, options) {
  const response = await oauth.genericTokenEndpointRequest(as, client, auth, type, form, loopback)
  const answer = await oauth.processGenericTokenEndpointResponse(as, client, response, options)
  return { answer, response }
}

const exchange = async (form, client = portal, auth = basic(client)) => (await token(client, auth, grant, form)).answer

async function introspect(api, value, auth) {
  const client = { client_id: api }
  const response = await oauth.introspectionRequest(as, client, auth ?? basic(client), value, loopback)
  return oauth.processIntrospectionResponse(as, client, response)
}

// validate is what a resource server does with a JWT in a request (RFC 9068).
function validate(value, audience) {
  const request = new Request(`${audience}/orders`, { headers: { authorization: `Bearer ${value}` } })
  return oauth.validateJwtAccessToken(as, request, audience, loopback)
}

// has checks members of an object; undefined means that the member must not be there.
function has(object, want) {
  for (const [name, value] of Object.entries(want)) assert.deepEqual(object[name], value, name)
}

// refusal is an error of the token endpoint as the client parses it.
const refusal = (error, status = 400) => (err) => {
  assert.ok(err instanceof oauth.ResponseBodyError, `${err} (${err.code})`)
  assert.equal(err.error, error)
  assert.equal(err.status, status)
  assert.equal(typeof err.error_description, 'string')
  return true
}

describe('discovery', () => {
  for (const algorithm of ['oidc', 'oauth2']) {
    test(algorithm, async () => {
      const response = await oauth.discoveryRequest(issuer, { algorithm, ...loopback })
      const metadata = await oauth.processDiscoveryResponse(issuer, response)
      has(metadata, {
        issuer: demo.issuer,
        token_endpoint: demo.token_endpoint,
        introspection_endpoint: demo.introspection_endpoint,
        revocation_endpoint: demo.revocation_endpoint,
        jwks_uri: demo.jwks_uri,
      })
      assert.ok(metadata.grant_types_supported.includes(grant))
      for (const method of ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none']) {
        assert.ok(metadata.token_endpoint_auth_methods_supported.includes(method), method)
      }
    })
  }

  test('of another issuer', async () => {
    const response = await oauth.discoveryRequest(issuer, loopback)
    await assert.rejects(oauth.processDiscoveryResponse(new URL('https://as.example'), response), {
      code: oauth.JSON_ATTRIBUTE_COMPARISON,
    })
  })
})

describe('exchange', () => {
  for (const [method, auth] of Object.entries({ client_secret_basic: basic, client_secret_post: post })) {
    test(`without actor, ${method}`, async () => {
      const form = { ...parties('end_user'), audience: aggregates, scope: 'read' }
      const answer = await exchange(form, portal, auth(portal))
      has(answer, { token_type: 'bearer', issued_token_type: accessToken, scope: 'read', refresh_token: undefined })
      assert.ok(Number.isInteger(answer.expires_in) && answer.expires_in > 0 && answer.expires_in <= 3600)
      has(await introspect('aggregates-api', answer.access_token), {
        active: true, iss: demo.issuer, sub: 'alice', client_id: 'portal', aud: aggregates, scope: 'read', act: undefined,
      })
    })

    test(`with actor, ${method}`, async () => {
      const form = { ...parties('end_user', 'impersonator'), audience: aggregates, scope: 'read', requested_token_type: jwt }
      const answer = await exchange(form, portal, auth(portal))
      has(answer, { token_type: 'bearer', issued_token_type: jwt, scope: 'read' })
      has(await validate(answer.access_token, aggregates), {
        iss: demo.issuer, sub: 'alice', client_id: 'portal', aud: aggregates, scope: 'read', act: actor('ines', 'portal'), may_act: undefined,
      })
    })
  }

  test('for several audiences', async () => {
    const form = new URLSearchParams({ ...parties('end_user'), requested_token_type: jwt })
    form.append('audience', settings)
    form.append('audience', aggregates)
    const answer = await exchange(form)
    for (const api of [settings, aggregates]) {
      assert.deepEqual((await validate(answer.access_token, api)).aud, [settings, aggregates])
    }
  })

  test('with parameters that have no value', async () => {
    const form = { ...parties('end_user'), audience: aggregates, actor_token: '', actor_token_type: '', requested_token_type: '', scope: '' }
    const answer = await exchange(form)
    has(answer, { issued_token_type: accessToken, token_type: 'bearer' })
    has(await introspect('aggregates-api', answer.access_token), { active: true, sub: 'alice', scope: answer.scope, act: undefined })
  })

  test('twice: the chain nests, newest outermost', async () => {
    const first = await exchange({ ...parties('end_user', 'impersonator'), audience: aggregates, scope: 'read' })
    const api = { client_id: 'aggregates-api' } // form-encoded below Basic: aggregates%2Dapi
    const second = await exchange({ subject_token: first.access_token, subject_token_type: accessToken, requested_token_type: jwt }, api)
    assert.ok(second.expires_in <= 300)
    has(await validate(second.access_token, ledger), {
      sub: 'alice', client_id: 'aggregates-api', act: actor('aggregates-api', 'aggregates-api', actor('ines', 'portal')),
    })
  })

  test('by user id', async () => {
    const named = { subject_token: 'bob', subject_token_type: 'urn:zitadel:params:oauth:token-type:user_id', audience: aggregates, requested_token_type: jwt }
    await assert.rejects(exchange(named), refusal('invalid_request'))
    const { actor_token, actor_token_type } = parties('end_user', 'impersonator')
    const answer = await exchange({ ...named, actor_token, actor_token_type, scope: 'read' })
    has(await validate(answer.access_token, aggregates), { sub: 'bob', scope: 'read', act: actor('ines', 'portal') })
  })

  test('of a token of a foreign issuer', async () => {
    const signed = (audience) => new SignJWT({ client_id: 'partner-app', scope: 'orders.read orders.write' })
      .setProtectedHeader({ alg: 'ES256', kid: 'partner-1', typ: 'at+jwt' })
      .setIssuer('https://idp.partner.example').setSubject('p-4711').setAudience(audience)
      .setIssuedAt().setExpirationTime('5m').setJti(crypto.randomUUID()).sign(partnerKey)
    const form = { subject_token_type: jwt, requested_token_type: jwt }
    const answer = await exchange({ ...form, subject_token: await signed('https://as.acme.example') })
    has(await validate(answer.access_token, aggregates), { iss: demo.issuer, sub: 'bob', scope: 'read', act: undefined })
    await assert.rejects(exchange({ ...form, subject_token: await signed('https://as.globex.example') }), refusal('invalid_request'))
  })

  test('by a public client', async () => {
    const form = { ...parties('mobile_user'), audience: aggregates, scope: 'read' }
    const answer = await exchange(form, { client_id: 'mobile' }, oauth.None())
    assert.ok(answer.expires_in <= 900)
    has(await introspect('aggregates-api', answer.access_token), { active: true, sub: 'alice', client_id: 'mobile', scope: 'read' })
    await assert.rejects(exchange(parties('spa_user'), { client_id: 'spa' }, oauth.None()), refusal('unauthorized_client')) // no rule names it
  })
})

describe('ID tokens', () => {
  test('beside the access token', async () => {
    const form = { ...parties('end_user', 'impersonator'), scope: 'openid profile email read' }
    const { answer, response } = await token({ ...portal, require_auth_time: true }, basic(portal), grant, form)
    has(oauth.getValidatedIdTokenClaims(answer), {
      iss: demo.issuer, sub: 'alice', aud: 'portal', azp: 'portal', name: 'Alice Archer', email: 'alice@acme.example', act: actor('ines', 'portal'),
    })
    await oauth.validateApplicationLevelSignature(as, response, loopback)
  })

  test('requested: N_A', async () => {
    const form = { ...parties('end_user'), requested_token_type: idToken, scope: 'openid profile' }
    await assert.rejects(exchange(form), { code: oauth.UNSUPPORTED_OPERATION }) // N_A has to be expected
    const { answer } = await token(portal, basic(portal), grant, form, { recognizedTokenTypes: { n_a: () => {} } })
    has(answer, { issued_token_type: idToken, token_type: 'n_a', id_token: undefined, refresh_token: undefined })
    assert.ok(answer.expires_in > 0)
    const keys = createRemoteJWKSet(new URL(as.jwks_uri))
    const { payload } = await jwtVerify(answer.access_token, keys, { issuer: demo.issuer, audience: 'portal', typ: 'JWT' })
    has(payload, { sub: 'alice', azp: 'portal', at_hash: undefined, nonce: undefined, act: undefined })
  })
})

describe('JWT access tokens', () => {
  test('verify with jose', async () => {
    const answer = await exchange({ ...parties('end_user', 'impersonator'), audience: settings, scope: 'read', requested_token_type: jwt })
    const keys = createRemoteJWKSet(new URL(as.jwks_uri))
    const { payload, protectedHeader } = await jwtVerify(answer.access_token, keys, {
      issuer: demo.issuer, audience: settings, typ: 'at+jwt', algorithms: as.id_token_signing_alg_values_supported,
      requiredClaims: ['exp', 'iat', 'jti', 'client_id', 'scope'],
    })
    has(payload, { sub: 'alice', act: actor('ines', 'portal') })
    assert.equal(typeof protectedHeader.kid, 'string')
  })

  test('are no good for another API, and ID tokens for none', async () => {
    const answer = await exchange({ ...parties('end_user'), audience: aggregates, requested_token_type: jwt })
    await validate(answer.access_token, aggregates)
    await assert.rejects(validate(answer.access_token, settings), { code: oauth.JWT_CLAIM_COMPARISON })
    await assert.rejects(validate(demo.tokens.end_user.id_token, 'https://portal.example'), { code: oauth.INVALID_RESPONSE })
  })
})

describe('introspection', () => {
  test('names the actor', async () => {
    const { access_token } = await exchange({ ...parties('end_user', 'impersonator'), audience: aggregates, scope: 'read' })
    has(await introspect('aggregates-api', access_token), { active: true, token_type: 'Bearer', sub: 'alice', act: actor('ines', 'portal') })
    assert.deepEqual(await introspect('settings-api', access_token), { active: false })
  })

  test('says what may_act says', async () => {
    has(await introspect('bank-api', demo.tokens.customer.access_token), { active: true, may_act: { client_id: 'service', sub: 'sam' } })
  })

  test('of an unknown token', async () => {
    assert.deepEqual(await introspect('aggregates-api', 'at_unknown'), { active: false })
    const changed = demo.tokens.end_user.jwt.replace(/.$/, '')
    assert.deepEqual(await introspect('aggregates-api', changed), { active: false })
  })

  test('by a stranger', async () => {
    const { access_token } = demo.tokens.end_user
    await assert.rejects(introspect('aggregates-api', access_token, oauth.ClientSecretBasic('wrong')), challenge)
    await assert.rejects(introspect('aggregates-api', access_token, oauth.ClientSecretPost('wrong')), refusal('invalid_client', 401))
  })
})

// challenge is the parsed header of a 401 to Basic.
function challenge(err) {
  assert.ok(err instanceof oauth.WWWAuthenticateChallengeError, `${err} (${err.code})`)
  assert.equal(err.status, 401)
  assert.equal(err.cause[0].scheme, 'basic')
  assert.equal(typeof err.cause[0].parameters.realm, 'string')
  return true
}

describe('refresh', () => {
  const refresh = async (value, form) => {
    const response = await oauth.refreshTokenGrantRequest(as, portal, basic(portal), value, { additionalParameters: form, ...loopback })
    return oauth.processRefreshTokenResponse(as, portal, response)
  }

  test('keeps the actor, rotates, and ends when a token is used twice', async () => {
    const first = await exchange({ ...parties('end_user', 'impersonator'), audience: aggregates, scope: 'openid read offline_access', requested_token_type: jwt })
    const second = await refresh(first.refresh_token)
    assert.notEqual(second.refresh_token, first.refresh_token)
    has(second, { token_type: 'bearer', scope: 'openid read offline_access' })
    has(await validate(second.access_token, aggregates), { sub: 'alice', act: actor('ines', 'portal') })
    has(oauth.getValidatedIdTokenClaims(second), { sub: 'alice', act: actor('ines', 'portal') })
    assert.equal((await introspect('aggregates-api', second.access_token)).active, true)

    await assert.rejects(refresh(first.refresh_token), refusal('invalid_grant'))
    assert.deepEqual(await introspect('aggregates-api', second.access_token), { active: false })
    await assert.rejects(refresh(second.refresh_token), refusal('invalid_grant'))
  })

  test('gives less scope, and never more', async () => {
    const first = await exchange({ ...parties('end_user'), scope: 'read write offline_access' })
    await assert.rejects(refresh(first.refresh_token, { scope: 'read profile' }), refusal('invalid_scope'))
    const second = await refresh(first.refresh_token, { scope: 'read' })
    const { scope } = await introspect('portal', second.access_token)
    assert.equal(scope, second.scope)
    assert.ok(scope.split(' ').includes('read') && !scope.split(' ').includes('write'), scope)
  })
})

describe('revocation', () => {
  const revoke = async (value) =>
    oauth.processRevocationResponse(await oauth.revocationRequest(as, portal, basic(portal), value, loopback))

  test('ends what was made from the token, and not what it was made from', async () => {
    const first = await exchange({ ...parties('end_user'), audience: aggregates, scope: 'read' })
    const second = await exchange({ subject_token: first.access_token, subject_token_type: accessToken }, { client_id: 'aggregates-api' })
    assert.equal((await introspect('bank-api', second.access_token)).active, true)
    await revoke(first.access_token)
    assert.deepEqual(await introspect('aggregates-api', first.access_token), { active: false })
    assert.deepEqual(await introspect('bank-api', second.access_token), { active: false })
    assert.equal((await introspect('aggregates-api', demo.tokens.end_user.access_token)).active, true)
    await assert.rejects(exchange({ subject_token: first.access_token, subject_token_type: accessToken }), refusal('invalid_request'))
  })

  test('of an unknown token is fine (RFC 7009)', () => revoke('at_unknown'))
})

describe('private_key_jwt', () => {
  const robot = { client_id: 'robot' }

  test('for a token of its own, and for one as actor', async () => {
    const auth = oauth.PrivateKeyJwt(robotKey)
    const own = (await token(robot, auth, 'client_credentials', { scope: 'read' })).answer
    has(own, { token_type: 'bearer', scope: 'read', refresh_token: undefined })
    const form = { ...parties('end_user'), actor_token: own.access_token, actor_token_type: accessToken, requested_token_type: jwt }
    const answer = await exchange(form, robot, auth)
    has(await validate(answer.access_token, tools), { sub: 'alice', client_id: 'robot', scope: 'read', act: actor('robot', 'robot') })
    await assert.rejects(exchange(parties('end_user'), robot, auth), refusal('invalid_request')) // no rule lets it go without an actor
  })

  test('is refused when replayed, for another audience, or signed with another key', async () => {
    const own = (auth) => token(robot, auth, 'client_credentials', {})
    const jti = crypto.randomUUID()
    const replayed = oauth.PrivateKeyJwt(robotKey, { [oauth.modifyAssertion]: (_, claims) => { claims.jti = jti } })
    await own(replayed)
    await assert.rejects(own(replayed), refusal('invalid_client', 401))
    const elsewhere = oauth.PrivateKeyJwt(robotKey, { [oauth.modifyAssertion]: (_, claims) => { claims.aud = 'https://as.example' } })
    await assert.rejects(own(elsewhere), refusal('invalid_client', 401))
    const { privateKey } = await oauth.generateKeyPair('ES256')
    await assert.rejects(own(oauth.PrivateKeyJwt({ key: privateKey, kid: 'robot-1' })), refusal('invalid_client', 401))
  })
})

describe('refusals', () => {
  const subject = parties('end_user')
  const cases = {
    'unknown target': [{ ...subject, audience: payroll }, 'invalid_target'],
    'malformed resource': [{ ...subject, resource: 'orders' }, 'invalid_target'],
    'scope beyond the token': [{ ...subject, scope: 'users:read' }, 'invalid_scope'],
    'no subject token': [{ subject_token_type: accessToken }, 'invalid_request'],
    'no subject token type': [{ subject_token: subject.subject_token }, 'invalid_request'],
    'actor without a role': [{ ...parties('impersonator', 'end_user') }, 'invalid_request'],
    'actor below an administrator': [{ ...parties('admin', 'impersonator') }, 'invalid_request'],
    'actor of another organisation': [{ ...parties('other_org_user', 'impersonator') }, 'invalid_request'],
    'refresh token as a result': [{ ...subject, requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }, 'invalid_request'],
  }
  for (const [name, [form, code]] of Object.entries(cases)) {
    test(name, () => assert.rejects(exchange(form), refusal(code)))
  }

  test('grant', async () => {
    await assert.rejects(token(portal, basic(portal), 'urn:example:wish', {}), refusal('unsupported_grant_type'))
    const bank = { client_id: 'bank-api' }
    await assert.rejects(exchange(subject, bank), refusal('unauthorized_client'))
  })

  test('client', async () => {
    await assert.rejects(exchange(subject, portal, oauth.ClientSecretBasic('wrong')), challenge)
    await assert.rejects(exchange(subject, portal, oauth.ClientSecretPost('wrong')), refusal('invalid_client', 401))
    await assert.rejects(exchange(subject, portal, oauth.None()), refusal('invalid_client', 401))
    await assert.rejects(exchange(subject, { client_id: 'retired' }), challenge)
  })
})
