import { open } from './attack.ts'

open('R12', 'WebSocket is not spoken yet: an upgrade is refused')
