// SPDX-License-Identifier: GPL-2.0
/* What the Rust compiler does not instrument: undefined behaviour in C. */
int rblk_planted_shift(int by);
int rblk_planted_index(int number);

int rblk_planted_shift(int by)
{
	return 1 << by;
}

int rblk_planted_index(int number)
{
	static volatile int numbers[4];

	return numbers[number];
}
