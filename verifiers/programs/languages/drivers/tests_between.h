#undef main
#undef NDEBUG
#undef assert
#undef abort
#undef exit
#undef _exit
#undef if
#undef else
#undef for
#undef while
#undef do
#undef return
#undef int
#undef bool
#undef void
#undef const
#undef static
#undef true
#undef false
#undef catch
#undef throw
#undef write
#undef extern
#undef char
static int deliberate_failed_DELIBERATE_MARK;
static void deliberate_fail_DELIBERATE_MARK(const char *text, int line) {
  deliberate_failed_DELIBERATE_MARK = 1;
  fprintf(stderr, "line %d of the tests: assertion failed: %s\n", line, text);
  fflush(stdout);
  __builtin_trap();
}
#define assert(...) ((__VA_ARGS__) ? (void)0 : deliberate_fail_DELIBERATE_MARK(#__VA_ARGS__, __LINE__))
#define main(...) main(__VA_ARGS__) __asm__("deliberate_main_DELIBERATE_MARK"); int main(__VA_ARGS__)
