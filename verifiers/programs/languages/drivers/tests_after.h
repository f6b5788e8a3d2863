#undef main
#ifdef __cplusplus
#define DELIBERATE_C extern "C"
#else
#define DELIBERATE_C
#endif
DELIBERATE_C int deliberate_tests(int, char **) __asm__("deliberate_tests_main");
DELIBERATE_C int deliberate_start(int, char **) __asm__("main");
DELIBERATE_C int deliberate_start(int count, char **words) {
  int status = deliberate_tests(count, words);
  if (status == 0 && !deliberate_failed_DELIBERATE_MARK) {
    fflush(stdout);
    if (write(1, "\nDELIBERATE_MARK\n", sizeof "\nDELIBERATE_MARK\n" - 1) < 0) return 1;
  }
  return status;
}
