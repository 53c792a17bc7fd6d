// Its client looks at no proxy and at no variable for a base URL.
import { Stripe } from 'stripe'

const stripe = new Stripe(process.env.STRIPE_SECRET_KEY ?? process.env.STRIPE_API_KEY)
const customer = await stripe.customers.create({ email: 'jane@example.test' })
const customers = await stripe.customers.list({ limit: 1 })
const charges = await stripe.charges.list()
const echo = await stripe.rawRequest('GET', '/v1/echo')
console.log(
  JSON.stringify({
    answer: customer.id,
    customers: customers.data.length,
    charges: charges.data.length,
    echoes: [JSON.stringify(echo)],
  }),
)
