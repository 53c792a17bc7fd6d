/** Service, credential and agent of the sample that a first start brings, so that the swap can be seen without a real key. */
export const sampleName = 'sample'
