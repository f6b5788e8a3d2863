#undef main
int deliberate_tests_DELIBERATE_MARK(int, char **) __asm__("deliberate_main_DELIBERATE_MARK");
int deliberate_start_DELIBERATE_MARK(int, char **) __asm__("main");
int deliberate_start_DELIBERATE_MARK(int count_DELIBERATE_MARK, char **words_DELIBERATE_MARK) {
  int status_DELIBERATE_MARK = deliberate_tests_DELIBERATE_MARK(count_DELIBERATE_MARK, words_DELIBERATE_MARK);
  if (status_DELIBERATE_MARK == 0 && !deliberate_failed_DELIBERATE_MARK) {
    fflush(stdout);
    if (write(1, "\nDELIBERATE_MARK\n", sizeof "\nDELIBERATE_MARK\n" - 1) < 0) return 1;
  }
  return status_DELIBERATE_MARK;
}
