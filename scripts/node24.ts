// Prints the path of a Node.js 24 binary, installed outside the tree when there is none yet.
import { findNode24 } from '../test/support/node24.ts'

console.log(await findNode24())
