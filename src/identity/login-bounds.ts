/** Characters of a token of an issuer. */
export const JWT_MAXIMUM_CHARACTERS = 16_384
/** Characters of a proof of a key. */
export const PROOF_MAXIMUM_CHARACTERS = 4_096
/** Keys of one issuer. */
export const KEYS_MAXIMUM = 64
