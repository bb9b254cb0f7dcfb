// SPDX-License-Identifier: MIT
// What is done with the contracts, in the EVM that is recorded and in the node it is compared with.
export const scenario = [
	{ contract: "Sums", create: [], calls: [["sum(uint256)", 3n], ["odd(uint256)", 5n], ["sum(uint256)", 40n]] },
	{ contract: "Token", create: [500n], calls: [["mint(uint256)", 7n], ["move(address,uint256)", 0x1234n, 400n], ["move(address,uint256)", 0x1234n, 400n], ["supply()"]] },
	{ contract: "Shop", create: [], calls: [["sell(uint256)", 5n], ["sell(uint256)", 600n], ["sold()"]] },
];
const words = (args) => args.map((n) => n.toString(16).padStart(64, "0")).join("");
export const creation = (c, args) => "0x" + c.creation.bytes.toString("hex") + words(args);
export const calling = (c, [name, ...args]) => "0x" + c.selectors[name] + words(args);
