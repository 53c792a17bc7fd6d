/** The schedule of a streamed answer: what a model provider's looks like, without the waiting for it. */
export const STREAM_FIRST_MILLISECONDS = 50
export const STREAM_INTERVAL_MILLISECONDS = 10
export const STREAM_EVENTS = 100
