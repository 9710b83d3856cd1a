{
  a = "from a";
}
