import { notApplicable } from './attack.ts'

notApplicable('S11', 'Keyward makes and keeps no containers: each run builds its variables and namespaces anew')
