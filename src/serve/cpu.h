/* The CPU time of the thread that asks, cheaply: a call of a function that takes microseconds must
 * not pay for two system calls. */
#ifndef SERVE_CPU_H
#define SERVE_CPU_H

#include <stdint.h>

/* Nanoseconds of CPU time of this thread, counted from anywhere; to be subtracted. Interrupts count
 * with the thread that they interrupt. Never less than the result before, in the same thread.
 * `now_ns`: sv_clock_ns(), just read. */
uint64_t srv_cpu_ns(uint64_t now_ns);

#endif
