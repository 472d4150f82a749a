// Receives Offerflow's callbacks, with nothing but Node 18 or newer:
//
//   SECRET=whsec_… PORT=9090 node receiver.mjs
//
// It verifies the signature, takes each message once, and drops news that is older than what it knows.
// docs/callbacks.md explains why.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const secret = process.env.SECRET ?? ''
if (!secret.startsWith('whsec_')) {
  console.error('SECRET must be the whsec_… secret that PUT /api/v1/callback-endpoint showed')
  process.exit(1)
}
const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
const tolerance = 5 * 60 // seconds between the sender's clock and ours
const maxBody = 1 << 20

// Keep these two in your database, in the transaction that credits the points.
const seen = new Set() // ids of messages
const newest = new Map() // the newest sequence of each conversion

function isGenuine(headers, body) {
  const id = headers['webhook-id']
  const timestamp = Number(headers['webhook-timestamp'])
  if (!id || !Number.isInteger(timestamp) || Math.abs(Date.now() / 1000 - timestamp) > tolerance) return false
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest()
  // While a secret is rotated there are two signatures: any of them will do.
  return (headers['webhook-signature'] ?? '').split(' ').some((signature) => {
    const [version, value] = signature.split(',')
    const given = Buffer.from(value ?? '', 'base64')
    return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected)
  })
}

function accept({ id, sequence, conversion }) {
  if (seen.has(id) || sequence <= (newest.get(conversion.conversionId) ?? 0)) return
  seen.add(id)
  newest.set(conversion.conversionId, sequence)
  if (conversion.isTest) {
    console.log(`test ${conversion.conversionId}`)
  } else if (conversion.pubMemberId === null) {
    console.log(`no member ${conversion.conversionId}`) // the link was followed without pub_member_id
  } else if (conversion.status === 'Success') {
    console.log(`credit ${conversion.conversionId} ${conversion.pubMemberId} ${conversion.rewardPoints}`)
  } else if (conversion.rejectionReason === 'reversed') {
    console.log(`take back ${conversion.conversionId} ${conversion.pubMemberId} ${conversion.rewardPoints}`)
  } else {
    console.log(`${conversion.status} ${conversion.conversionId} ${conversion.pubMemberId}`)
  }
}

function answer(response, status, text = '') {
  response.writeHead(status, { Connection: status < 300 ? 'keep-alive' : 'close' }).end(text)
}

const server = createServer((request, response) => {
  const chunks = []
  let size = 0
  request.on('data', (chunk) => {
    size += chunk.length
    if (size <= maxBody) chunks.push(chunk)
  })
  request.on('end', () => {
    const body = Buffer.concat(chunks) // the bytes as they came: the signature is over these
    if (size > maxBody) return answer(response, 413, 'too large')
    if (!isGenuine(request.headers, body)) return answer(response, 401, 'bad signature')
    try {
      accept(JSON.parse(body))
      answer(response, 204) // also for what was dropped: anything else would bring it again
    } catch (error) {
      console.error(error)
      answer(response, 500, 'try again')
    }
  })
})
server.listen(Number(process.env.PORT ?? 9090), '127.0.0.1', () => console.log(`listening ${server.address().port}`))
