/* TSAN: 1 in builds with the thread sanitizer, else 0. It hands asynchronous signals on only at the
 * next call that it knows, and a guest in an endless loop makes none. Holds nothing else. */
#ifndef SV_TEST_TSAN_H
#define SV_TEST_TSAN_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#if !defined(TSAN) && defined(__SANITIZE_THREAD__)
#define TSAN 1
#endif
#ifndef TSAN
#define TSAN 0
#endif

#endif
