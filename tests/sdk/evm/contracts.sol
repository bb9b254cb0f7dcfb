// SPDX-License-Identifier: MIT
// Three contracts whose calls are recorded: loops and internal functions; storage, mappings, reverts; calls among
// contracts.
pragma solidity ^0.8.0;

contract Sums {
	function sum(uint256 n) public pure returns (uint256 total) {
		for (uint256 i = 1; i <= n; i++) {
			total = add(total, i);
		}
	}

	function add(uint256 a, uint256 b) internal pure returns (uint256) {
		return a + b;
	}

	function odd(uint256 n) public pure returns (bool) {
		return n == 0 ? false : even(n - 1);
	}

	function even(uint256 n) internal pure returns (bool) {
		return n == 0 ? true : odd(n - 1);
	}
}

contract Token {
	address public owner;
	uint256 public supply;
	mapping(address => uint256) public balance;
	event Moved(address from, address to, uint256 amount);

	constructor(uint256 amount) {
		owner = msg.sender;
		mint(amount);
	}

	modifier onlyOwner() {
		require(msg.sender == owner, "not the owner");
		_;
	}

	function mint(uint256 amount) public onlyOwner {
		supply += amount;
		balance[owner] += amount;
	}

	function move(address to, uint256 amount) public returns (int256 left) {
		require(balance[msg.sender] >= amount, "too little");
		balance[msg.sender] -= amount;
		balance[to] += amount;
		emit Moved(msg.sender, to, amount);
		left = -1 + int256(balance[msg.sender]);
	}
}

contract Shop {
	Token token;
	uint256 public sold;

	constructor() {
		token = new Token(1000);
	}

	function sell(uint256 amount) public returns (uint256) {
		try token.move(msg.sender, price(amount)) {
			sold++;
		} catch {
			sold += 100;
		}
		return token.balance(msg.sender);
	}

	function price(uint256 amount) internal pure returns (uint256) {
		return amount * 3;
	}
}
